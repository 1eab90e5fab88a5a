# Client and provider as two apps of one `kodkod.run`, without a device.
# Arguments: the file for the transcript, and words of the scenarios to run if not all.

import sys

import kodkod
import lab
import rig
import scenarios


async def main():
    director = kodkod.spawn(lab.main, name="director")
    user = kodkod.spawn(scenarios.run, *sys.argv[2:], name="client")
    code = await user.wait()
    await director.stop()
    sys.exit(code)


with open(sys.argv[1], "w") as file:
    rig.listener = lambda line: file.write(line + "\n")
    code = kodkod.run(main)
sys.exit(code)
