# `kod run -d host`: one app on this computer, under the kernel of the device.
# Arguments: the library's folder, the app's folder, its entry, whether that is a "script" or a
# "module", the app's own arguments.

import os
import sys

sys.path.insert(0, sys.argv[1])

from kodkod.apps import begin, loader, starting


async def _watch_stdin(kernel):
    # The host asks for an end with a Ctrl-C byte, or by going away. A signal could strike
    # the kernel anywhere.
    import asyncio

    while True:
        byte = await asyncio.StreamReader(sys.stdin.buffer).read(1)
        if byte in (b"", b"\x03"):
            kernel.interrupted = True
            await kernel.stop_all()
            kernel.ending = 130
            return


def main():
    """Run the app; returns its exit code."""
    folder, entry, kind = sys.argv[2:5]
    kernel = begin.start()
    app = kernel.app(entry)
    starting.assign(app, folder)
    app.data = os.getcwd()
    if os.getenv("KODKOD_STDIN"):
        kernel.task(kernel.system, _watch_stdin(kernel))
    return begin.run(app, loader.main(app, entry, sys.argv[5:], kind == "script"))


sys.exit(main())
