# The client's side as an app; its transcript is a file among its data.

import rig
import scenarios


async def main(*only):
    with open("transcript.txt", "w") as file:
        rig.listener = lambda line: file.write(line + "\n")
        await scenarios.run(*only)
