# Says that a device is there: a broadcast now and then, and an answer to whoever asks.
# Nobody should believe it before the handshake. The format: docs/protocol.md.

import asyncio
import socket

from micropython import const

from kodkod import link
from kodkod.borrow import borrow

_PORT = const(9191)
_EVERY_S = const(5)


def _tell(sock, content, address):
    try:
        sock.sendto(content, address)
    except OSError:  # no network now: the next time
        pass


async def _answer(sock, content):
    while True:
        await link.readable(sock)
        try:
            question, address = sock.recvfrom(16)
        except OSError:
            continue
        if question == b"kodkod?":
            _tell(sock, content, address)
        await asyncio.sleep_ms(20)  # a flood of questions gets a part of the time


async def announce(name, id, chip, version, port, to="255.255.255.255", at=_PORT):
    """Tell of this device for ever: `port` is where its link is served.

    `to` is where broadcasts go, `at` the UDP port, of questions too.
    """
    said = ["kodkod", 1, name, id, chip, version, port]
    content = borrow("kodkod.message").pack(said)
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    answering = None
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.bind(socket.getaddrinfo("0.0.0.0", at)[0][-1])
        sock.setblocking(False)
        answering = asyncio.create_task(_answer(sock, content))
        address = socket.getaddrinfo(to, at)[0][-1]
        while True:
            _tell(sock, content, address)
            await asyncio.sleep(_EVERY_S)
    finally:
        if answering:
            answering.cancel()
        sock.close()
