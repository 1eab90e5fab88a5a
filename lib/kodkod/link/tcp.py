# The link over TCP: lets in who has the key, then carries encrypted frames for a session.
# A stranger costs two slots of 64 bytes for 5 s at most, and learns only that this is Kodkod.

import asyncio
import socket
from time import ticks_add, ticks_diff, ticks_ms

from micropython import const

from kodkod.errors import AuthFailed, Busy, Incompatible, KodkodError

from .cipher import BUSY, HELLO_SIZE, MAX_FRAME, Doorkeeper, frame_size, refusal
from .remote import open_client
from .session import Session

_LINKS = const(4)
_STRANGERS = const(2)
_HANDSHAKE_S = const(5)
_SLOW_MS = const(100)  # after the first wrong key, doubling
_SLOWEST = const(5)  # doublings


def _until(queue, sock):
    # A generator can be awaited here, and this one waits for a socket as asyncio's streams do.
    yield queue(sock)


async def _read(sock, view):
    # Fill `view`.
    while len(view):
        count = sock.readinto(view)
        if count is None:
            await _until(asyncio.core._io_queue.queue_read, sock)
        elif count:
            view = view[count:]
        else:
            raise EOFError


async def _write(sock, data):
    view = memoryview(data)
    while len(view):
        count = sock.write(view)
        if count is None:
            await _until(asyncio.core._io_queue.queue_write, sock)
        else:
            view = view[count:]


class TcpCarrier:
    """Encrypted frames over a connected socket."""

    def __init__(self, sock, ciphers):
        self._sock = sock
        self._sealer, self._opener = ciphers
        self._frame = memoryview(bytearray(MAX_FRAME))

    async def receive(self):
        """The next payload: a view that is good until the next call."""
        # Wait even when there is something: a host that sends fast must not hold up the rest.
        await _until(asyncio.core._io_queue.queue_read, self._sock)
        frame = self._frame
        await _read(self._sock, frame[:2])
        frame = frame[: frame_size(frame)]
        await _read(self._sock, frame[2:])
        return self._opener.open(frame)

    async def send(self, payload):
        """Send one payload; one task at a time."""
        await _write(self._sock, self._sealer.seal(payload))

    def close(self):
        self._sock.close()


class _Door:
    # Who is on the threshold, who is in, and how long strangers wait after wrong keys.

    def __init__(self, key, hello, start_app):
        self._key = key
        self._hello = hello
        self._start_app = start_app
        self._strangers = []  # [task, socket, begun] of handshakes, the oldest first
        self._links = 0
        self._wrong = 0  # keys in a row
        self._opens_at = ticks_ms()

    def arrived(self, sock, address):
        """Begin a handshake; the oldest one that is not through makes room for it."""
        sock.setblocking(False)
        try:
            sock.setsockopt(6, 1, 1)  # TCP_NODELAY
        except OSError:
            pass
        if len(self._strangers) == _STRANGERS:
            task, oldest, begun = self._strangers.pop(0)
            task.cancel()
            if not begun:
                oldest.close()
        stranger = [None, sock, False]
        self._strangers.append(stranger)
        name = "host:" + (address[0] if isinstance(address, tuple) else "local")
        stranger[0] = asyncio.create_task(self._greet(stranger, name))

    async def _greet(self, stranger, name):
        sock = stranger[1]
        stranger[2] = True  # from here on it closes the socket itself
        try:
            ciphers = await asyncio.wait_for(self._handshake(sock), _HANDSHAKE_S)
            self._start_app(name, self._serve(TcpCarrier(sock, ciphers)))
            sock = None
        except (OSError, EOFError, KodkodError, asyncio.TimeoutError):
            pass
        finally:
            if stranger in self._strangers:
                self._strangers.remove(stranger)
            if sock:
                sock.close()

    async def _handshake(self, sock):
        data = bytearray(HELLO_SIZE)
        await _read(sock, memoryview(data))
        delay = ticks_diff(self._opens_at, ticks_ms())
        if 0 < delay <= _SLOW_MS << _SLOWEST:  # more is a clock that has gone round
            await asyncio.sleep_ms(delay)
        if self._links >= _LINKS:
            await _write(sock, refusal(BUSY))
            raise Busy("too many links")
        keeper = Doorkeeper(self._key)
        try:
            answer = keeper.answer(bytes(data))
        except Incompatible as exc:
            await _write(sock, exc.reply)
            raise
        await _write(sock, answer)
        await _read(sock, memoryview(data))
        try:
            ciphers = keeper.check(data)
        except AuthFailed:
            self._opens_at = ticks_add(ticks_ms(), _SLOW_MS << self._wrong)
            self._wrong = min(self._wrong + 1, _SLOWEST)
            raise
        self._wrong = 0
        return ciphers

    async def _serve(self, carrier):
        self._links += 1
        try:
            await Session(carrier, self._hello, open_client).run()
        finally:
            self._links -= 1


async def serve(port, key, hello, start_app, host="0.0.0.0"):
    """Serve hosts that prove `key` (16 bytes) for ever.

    `hello` is a dict, told after that proof. `start_app(name, coroutine)` runs a session as an
    app of its own.
    """
    door = _Door(key, hello, start_app)
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(socket.getaddrinfo(host, port)[0][-1])
        listener.listen(4)
        listener.setblocking(False)
        while True:
            await _until(asyncio.core._io_queue.queue_read, listener)
            try:
                sock, address = listener.accept()
            except OSError:  # gone again, or no socket left
                await asyncio.sleep_ms(100)
            else:
                door.arrived(sock, address)
    finally:
        listener.close()
