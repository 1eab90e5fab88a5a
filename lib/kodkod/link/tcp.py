# The link over TCP: waits for who comes. What lets hosts in (door.py, and the cipher) is loaded
# when one knocks, and let go a while after the last has left.

import asyncio
import socket

from kodkod import link
from kodkod.borrow import borrow


async def serve(port, key, hello, start_app, host="0.0.0.0"):
    """Serve, for ever, hosts that prove `key` (16 bytes).

    `hello` is a dict that they are told after that proof. `start_app(name, coroutine)` runs a
    session as an app of its own.
    """
    door = None

    def let_go():
        nonlocal door
        door = None

    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(socket.getaddrinfo(host, port)[0][-1])
        listener.listen(4)
        listener.setblocking(False)
        while True:
            await link.readable(listener)
            sock = None
            try:
                sock, address = listener.accept()
                if not door:
                    door = borrow("kodkod.link.door").Door(key, hello, start_app, let_go)
                door.arrived(sock, address)
            except OSError:  # gone again, or no socket is left
                pass
            except MemoryError:  # whoever it is may come again
                if sock:
                    sock.close()
            # A flood gets a part of the time, and a handshake begins before the next can end it.
            await asyncio.sleep_ms(10)
    finally:
        listener.close()
