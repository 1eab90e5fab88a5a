# What an app sees as `socket`: each socket it makes is entered in its record.
# Those that asyncio's streams use are, too, also the accepted ones.

import asyncio
import socket as _socket

from kodkod.apps import loader, natives


def _make(*args):
    return natives.own(_socket.socket(*args))


def socket(app, view):
    """For `import socket`."""
    view.socket = _make


def _record(init):
    # A server's accepted connections come into an app's hands as streams only.
    def record(self, s, e={}):  # noqa: B006
        init(self, s, e)
        app = loader.kernel.current
        if app and app.dir and s not in app.owned and hasattr(s, "fileno"):
            natives.own(s)

    return record


asyncio.StreamReader.__init__ = _record(asyncio.StreamReader.__init__)
