# `kod run -d host`: one app on this computer, under the kernel of the device.
# Arguments: the library's folder, and one with the app's files in `app` and, in `run.json`, its
# manifest, its settings, and whether its lines are to be JSON.

import asyncio
import json
import os
import sys

sys.path.insert(0, sys.argv[1])

from kodkod.apps import begin, logs, starting


async def _watch_stdin(kernel):
    # The host asks for an end with a Ctrl-C byte, or by going away. A signal could strike
    # the kernel anywhere.
    while True:
        byte = await asyncio.StreamReader(sys.stdin.buffer).read(1)
        if byte in (b"", b"\x03"):
            kernel.interrupted = True
            await kernel.stop_all()
            kernel.ending = 130
            return


async def _time_out(app, delay):
    await asyncio.sleep_ms(delay)
    logs.write(app, logs.WARNING, "stopped: its timeout has passed")
    app.kernel.end(app, "stopped", 0)


def main():
    """Run the app; returns its exit code."""
    folder = sys.argv[2]
    with open(folder + "/run.json") as file:
        manifest, settings, as_json = json.load(file)
    kernel = begin.start()
    app = kernel.app(manifest["entry"])
    coro = starting.make(app, folder + "/app", manifest, settings)
    app.data = os.getcwd()
    if os.getenv("KODKOD_STDIN"):
        kernel.task(kernel.system, _watch_stdin(kernel))
    timeout = settings.get("timeout_ms")
    if timeout:
        kernel.task(app, _time_out(app, timeout), True)

    def show(line):
        text = line[4]
        if as_json:
            text = json.dumps({"ms": line[1], "level": line[2], "text": text})
        try:
            logs.native(text)
        except OSError:  # whoever read it has left
            kernel.ending = 0

    return begin.run(app, coro, show)


sys.exit(main())
