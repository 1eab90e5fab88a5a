# What the carriers share: sessions, which are loaded with the first and let go with the last.

import asyncio

from kodkod.borrow import borrow

_running = 0
_remote = None


def readable(stream):
    """Wait until there is something to read: a generator can be awaited here, and this one waits
    as asyncio's streams do."""
    yield asyncio.core._io_queue.queue_read(stream)


async def serve(carrier, hello):
    """Be the device for the host that has proved itself on `carrier`, until either side ends.

    `hello` is a dict that it is told first.
    """
    global _running, _remote
    _running += 1
    try:
        if not _remote:
            _remote = borrow("kodkod.link.remote")
        await _remote.session(carrier, hello).run()
    finally:
        carrier.close()
        _running -= 1
        if not _running:
            _remote = None
