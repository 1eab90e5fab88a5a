"""The host's end of the link over a console: a serial line, USB or a pty that carries text too."""

from __future__ import annotations

import asyncio
import binascii
import secrets
import threading
import time
from collections.abc import Callable
from typing import Protocol

from kodkod.errors import Incompatible
from kodkod.link.frames import Splitter, frame
from kodkod.link.line import END, OPENING, START, Line

PIECE = 53  # with 11 bytes around it: two of them are the 128 that may be under way
WINDOW = 128
_FRAME = 400  # bytes of the longest frame, and more
_REPEAT_S = 0.25  # three times, then the device does not read
_LATER_S = 1.0
CTRL_C = b"\x03"  # ends code that somebody typed there and left running
_STARTS_S = 2.5  # a device that is just starting takes a Ctrl-C for the wish to have a bare prompt
_LOST_S = 15  # without a packet while some are expected: longer than any step of an app
_TICK_S = 0.05
_QUIET_S = 0.05  # then what may have been the beginning of a frame is text


class Stream(Protocol):
    """What is needed of a serial line. `read` waits a little, b"" is nothing yet; EOFError and
    OSError are its end."""

    def read(self) -> bytes: ...

    def write(self, data: bytes) -> object: ...

    def close(self) -> None: ...


class ConsoleCarrier:
    """Pieces in frames between whatever else is on the line; the rest goes to `on_text`."""

    def __init__(self, stream: Stream, on_text: Callable[[bytes], object]) -> None:
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        self._on_text = on_text
        self._splitter = Splitter(_FRAME, lambda data: on_text(bytes(data)))
        self._heard = self._alive = 0.0
        self._line: Line | None = None
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._arrived: asyncio.Queue[bytes | BaseException] = asyncio.Queue()
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False
        self._nonce = self._tag = b""
        self._reader = threading.Thread(target=self._read, name="kod-console", daemon=True)
        self._reader.start()

    async def open(self) -> None:
        """Begin a session: ask until the device answers."""
        self._nonce = harmless()
        self._tick()
        tries = 0
        interrupts_at = self._loop.time() + _STARTS_S
        while not self._opened.done():
            tries += 1
            if self._loop.time() > interrupts_at:
                self._stream.write(CTRL_C)
                interrupts_at += 60
            self._stream.write(opening(self._nonce))
            pause = _REPEAT_S if tries <= 3 else _LATER_S
            await asyncio.wait([self._opened], timeout=pause)
        await self._opened

    async def receive(self) -> bytes:
        """The next payload."""
        arrived = await self._arrived.get()
        if isinstance(arrived, BaseException):
            raise arrived
        return arrived

    def send(self, payload: bytes) -> None:
        """Queue a payload; the session bounds how much can wait."""
        assert self._line
        self._line.send(payload)
        self._flush()

    async def close(self) -> None:
        """Give what is queued a moment to go, then stop; the stream is closed."""
        for _ in range(20):
            if self._closing or not self._line or not self._line.waiting:
                break
            await asyncio.sleep(_TICK_S / 2)
        self._closing = True
        if self._timer:
            self._timer.cancel()
        if self._opened.done():
            self._opened.exception()
        self._reader.join()
        self._stream.close()

    # The reader's thread

    def _read(self) -> None:
        try:
            while not self._closing:
                data = self._stream.read()
                if data:
                    self._loop.call_soon_threadsafe(self._feed, data)
        except Exception as exc:
            # pyserial has others, too, for a port that goes away while it is read.
            end = exc if isinstance(exc, (OSError, EOFError)) else OSError(repr(exc))
            if not self._closing:
                self._loop.call_soon_threadsafe(self._fail, end)

    # The loop's

    def _fail(self, exc: BaseException) -> None:
        self._arrived.put_nowait(exc)
        if not self._opened.done():
            self._opened.set_exception(exc)

    def _feed(self, data: bytes) -> None:
        self._heard = time.monotonic()
        for packet in self._splitter.feed(data):
            if self._line and packet[:1] == self._tag and packet[1:2] == bytes((END,)):
                self._fail(EOFError())
            elif self._line:
                self._alive = self._heard
                payload = self._line.feed(packet, _now())
                if payload is not None:
                    self._arrived.put_nowait(payload)
            elif len(packet) > 4 and packet[1] & START:
                self._welcomed(packet)
        self._flush()

    def _welcomed(self, packet: bytes) -> None:
        words = packet[4:].split(b" ")
        if len(words) != 4 or words[3] != self._nonce or self._opened.done():
            return  # an answer to another opening
        if words[1] == b"0":
            self._opened.set_exception(
                Incompatible(f"the device speaks protocol {words[2].decode()}, this kod 1")
            )
            return
        self._tag = packet[:1]
        self._line = Line(packet[0], PIECE, WINDOW)
        self._opened.set_result(None)

    def _flush(self) -> None:
        if self._line and not self._closing:
            out = bytearray()
            while piece := self._line.poll(_now()):
                out += piece
            if out:
                try:
                    self._stream.write(bytes(out))
                except OSError as exc:
                    self._fail(exc)

    def _tick(self) -> None:
        now = time.monotonic()
        if self._heard and now - self._heard > _QUIET_S:
            self._splitter.flush()
        if not self._line or not self._line.waiting:
            self._alive = now
        elif now - self._alive > _LOST_S:
            self._fail(OSError(f"nothing was heard for {_LOST_S} s"))
        self._flush()
        self._timer = self._loop.call_later(_TICK_S, self._tick)


def _now() -> int:
    return int(time.monotonic() * 1000) & 0x3FFFFFFF


def opening(nonce: bytes) -> bytes:
    """What begins a session: the newest and the oldest version that this end speaks."""
    return bytes(frame(OPENING + b"1 1 " + nonce))


def harmless() -> bytes:
    """A nonce whose opening is printable to the last byte of its CRC: a bare REPL that gets it
    takes no Ctrl-C, Ctrl-D or newline from it."""
    while True:
        nonce = binascii.hexlify(secrets.token_bytes(8))
        if all(32 <= byte < 127 for byte in opening(nonce)[1:-1]):
            return nonce


async def connect(stream: Stream, on_text: Callable[[bytes], object]) -> ConsoleCarrier:
    """Begin a session over `stream`; it is closed with the carrier, or when this fails."""
    carrier = ConsoleCarrier(stream, on_text)
    try:
        await carrier.open()
        return carrier
    except BaseException:  # also when cancelled: the time is over
        await carrier.close()
        raise
