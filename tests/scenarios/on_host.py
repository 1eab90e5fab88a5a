"""The client's side of the scenarios on this computer, over the link to a device.

Arguments: the device's address, port and key, the file for the transcript, and, if not all
scenarios, words of the names of those to run. An app of its own is here a link of its own.
"""

import asyncio
import sys
from pathlib import Path

import kod.services
import kodkod
from kod import link


class App:
    """What `kodkod.spawn` gives: a task with a link of its own, which hangs up when it ends."""

    reason = code = None

    def __init__(self, main, args):
        self._connection = connect()
        self._task = asyncio.create_task(self._run(main, args))

    async def _run(self, main, args):
        verdict = "ended", 0
        try:
            with kod.services.using(self._connection):
                await main(*args)
        except asyncio.CancelledError:
            verdict = "stopped", 0
        except SystemExit as error:
            verdict = "failed", error.code
        except Exception:
            verdict = "failed", 1
        await asyncio.to_thread(self._connection.close)
        self.reason, self.code = verdict

    async def wait(self):
        await asyncio.wait([self._task])
        return self.code

    async def stop(self):
        self._task.cancel()
        await self.wait()


def connect():
    return link.connect_tcp(sys.argv[1], int(sys.argv[2]), bytes.fromhex(sys.argv[3]))


def main():
    import rig
    import scenarios

    kodkod.spawn = lambda main, *args, name=None: App(main, args)
    lines = []
    rig.listener = lines.append
    with connect() as connection, kod.services.using(connection):
        asyncio.run(scenarios.run(*sys.argv[5:]))
    Path(sys.argv[4]).write_text("".join(line + "\n" for line in lines))


# `from kodkod import spawn` is resolved when the scenarios are imported.
kodkod.spawn = lambda main, *args, name=None: App(main, args)

if __name__ == "__main__":
    main()
