"""The tutorial, shown: provider and users installed on a simulated device, talking.

Started by `make demo`. It types the commands of README's tutorial, one after the other, with
devices and keys in a temporary folder, and leaves nothing running.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
KOD = [sys.executable, "-m", "kod"]


def say(text: str) -> None:
    print(f"\n# {text}", flush=True)


def kod(*arguments: str) -> None:
    """Run one kod command and show it as a person would type it."""
    print(f"$ kod {' '.join(arguments)}", flush=True)
    subprocess.run([*KOD, *arguments], cwd=HERE, check=True, stderr=subprocess.STDOUT)


def follow(seconds: float) -> None:
    """Show the live log for a while, then press Ctrl-C."""
    print("$ kod logs -f", flush=True)
    with subprocess.Popen([*KOD, "logs", "-f"], cwd=HERE, stderr=subprocess.STDOUT) as process:
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of talk that is shown")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory(prefix="kodkod-demo-") as home:
        os.environ["KOD_HOME"] = home
        say("A device on this computer: MicroPython's unix port with a folder as its flash.")
        print("$ kod simulate --name demo", flush=True)
        simulator = subprocess.Popen(
            [*KOD, "simulate", "--name", "demo"],
            stdout=subprocess.DEVNULL,  # the console, which `kod logs` shows better
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            for _ in range(3):
                print(simulator.stderr.readline(), end="", flush=True)
            kod("ping")
            say("Install the service and two users of it. Each is an app of its own.")
            kod("install", "provider", "provider.py")
            kod("install", "user1", "user.py")
            kod("install", "user2", "user2.py")
            kod("list")
            say("Each user gets what the other sends through the provider, and not its own.")
            follow(seconds)
            say("Uninstall one user: the provider and the other one go on.")
            kod("uninstall", "user1")
            follow(seconds / 2)
            kod("list")
            say("That is all. The device ends now.")
        finally:
            simulator.send_signal(signal.SIGINT)
            simulator.wait(10)
            print(simulator.stderr.read(), end="")
            simulator.stderr.close()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # whoever read it has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
