# What the carriers share: sessions, which are loaded with the first and let go with the last.

import asyncio
import sys

from kodkod.borrow import borrow, forget
from kodkod.services import kernel as seam

_running = 0
_remote = None
# What the system's own services are made of.
_STAY = ("provider", "registry", "kernel")


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
            if not seam.kernel.served:
                _forget_services()


def _forget_services():
    # No app has used a service: what hosts have used goes with them. (spawn copies, too.)
    for name in list(sys.modules):
        if name[:16] == "kodkod.services." and name[16:] not in _STAY:
            forget(name)
    if "kodkod.message" in sys.modules and "kodkod.apps.kernel" not in sys.modules:
        forget("kodkod.message")
