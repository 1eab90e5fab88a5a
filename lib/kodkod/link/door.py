# Who comes over TCP: lets in who has the key, then carries encrypted frames for a session.
# A stranger costs one of two small slots for 5 s at most, and learns only that this is Kodkod.

import asyncio
from time import ticks_add, ticks_diff, ticks_ms

from micropython import const

from kodkod import link
from kodkod.errors import AuthFailed
from kodkod.link import cipher

_LINKS = const(4)
_STRANGERS = const(2)
_HANDSHAKE_S = const(5)
_SLOW_MS = const(100)  # for all strangers after a wrong key, doubling with each
_SLOWEST = const(5)  # doublings
REST_S = 60  # with nobody here: a wrong key is remembered for less; tests make it shorter
_BUSY = const(1)
_USUAL = const(256)  # bytes of a frame: a larger buffer only once there is a larger one


async def _read(sock, view):
    # Fill `view`.
    while len(view):
        count = sock.readinto(view)
        if count is None:
            await link.readable(sock)
        elif count:
            view = view[count:]
        else:
            raise EOFError


def _writable(sock):
    yield asyncio.core._io_queue.queue_write(sock)


async def _write(sock, view):
    while len(view):
        count = sock.write(view)
        if count is None:
            await _writable(sock)
        else:
            view = view[count:]


class Carrier:
    """Encrypted frames over a connected socket."""

    def __init__(self, sock, ciphers):
        self._sock = sock
        self._cipher = ciphers
        self._frame = bytearray(_USUAL)

    async def receive(self):
        """The next payload: a view that is good until the next call."""
        # Wait even when there is something: a host that sends fast must not hold up the rest.
        await link.readable(self._sock)
        head = self._frame
        await _read(self._sock, memoryview(head)[:2])
        size = cipher.frame_size(head)
        if size > len(head):
            self._frame = bytearray(size)
            self._frame[:2] = head[:2]
        frame = memoryview(self._frame)[:size]
        await _read(self._sock, frame[2:])
        return self._cipher.open(frame)

    async def send(self, payload):
        """Send one payload; one task at a time."""
        await _write(self._sock, memoryview(self._cipher.seal(payload)))

    def close(self):
        """Hang up."""
        self._sock.close()


class Door:
    """Who is on the threshold, how many are in, and how long strangers wait after wrong keys.
    Calls `let_go()` when nobody has been here for a while."""

    def __init__(self, key, hello, start_app, let_go):
        self._key = key
        self._hello = hello
        self._start_app = start_app
        self._strangers = []  # (address, task) of handshakes, the oldest first
        self._links = 0
        self._wrong = 0  # keys in a row
        self._opens_at = ticks_ms()
        self._came = False  # somebody, since it was looked
        self._resting = asyncio.create_task(self._rest(let_go))

    async def _rest(self, let_go):
        while self._came or self._strangers or self._links:
            self._came = False
            await asyncio.sleep(REST_S)
        let_go()

    def arrived(self, sock, address):
        """Begin a handshake; one that is not through makes room for it: the oldest from the
        same address, or else the oldest. So who floods sends himself away, and nobody else."""
        self._came = True
        # The unix port gives a struct sockaddr, in which the port comes before the address.
        host = address[0] if isinstance(address, tuple) else bytes(address[4:8])
        strangers = self._strangers
        if len(strangers) == _STRANGERS:
            same = [stranger for stranger in strangers if stranger[0] == host]
            leaving = (same or strangers)[0]
            strangers.remove(leaving)
            leaving[1].cancel()
        strangers.append((host, asyncio.create_task(self._greet(sock, host))))

    async def _greet(self, sock, host):
        try:
            sock.setblocking(False)
            sock.setsockopt(6, 1, 1)  # TCP_NODELAY
            carrier = await asyncio.wait_for(self._handshake(sock), _HANDSHAKE_S)
            name = host if isinstance(host, str) else "local"
            self._start_app("host:" + name, self._serve(carrier))
            sock = None
        except (OSError, EOFError, AuthFailed, asyncio.TimeoutError):
            pass
        finally:
            if sock:
                sock.close()
            stranger = host, asyncio.current_task()
            if stranger in self._strangers:
                self._strangers.remove(stranger)

    async def _handshake(self, sock):
        buffer = memoryview(bytearray(cipher.HELLO))
        await _read(sock, buffer)
        delay = ticks_diff(self._opens_at, ticks_ms())
        if 0 < delay <= _SLOW_MS << _SLOWEST:  # more is a clock that has gone round
            await asyncio.sleep_ms(delay)
        reply, handshake = cipher.answer(self._key, bytes(buffer))
        if handshake and self._links >= _LINKS:
            reply, handshake = cipher.refusal(_BUSY), None
        await _write(sock, reply)
        if not handshake:
            raise EOFError
        await _read(sock, buffer)
        if not cipher.same(buffer, handshake.proof(b"H")):
            self._opens_at = ticks_add(ticks_ms(), _SLOW_MS << self._wrong)
            self._wrong = min(self._wrong + 1, _SLOWEST)
            raise EOFError
        self._wrong = 0
        return Carrier(sock, handshake.cipher(b"D", b"H"))

    async def _serve(self, carrier):
        self._links += 1
        try:
            await link.serve(carrier, self._hello)
        finally:
            self._links -= 1
