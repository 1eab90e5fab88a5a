# Frames of kod on the console: one session at a time, over a line that may lose and garble.
# Loaded at the first zero byte; gone when the session has ended, or when there was none.

import asyncio
from time import ticks_diff, ticks_ms

from micropython import const

from kodkod import link
from kodkod.link.frames import Splitter
from kodkod.link.line import Line, gone, welcome
from kodkod.signal import Signal

_FRAME = const(320)  # bytes of the longest, and more
_PIECE = const(96)
_WINDOW = const(400)
_TICK_MS = const(50)
_QUIET_MS = const(100)  # then what may have been the beginning of a frame is text
_GONE_MS = const(8000)  # without a frame; kod says something every 5 s
_PAYLOADS = const(4)  # that wait for the session
_CONTROL = b"\r\n\x01\x02\x03"
_MPREMOTE = b"\r\x03\r\x01"  # how it begins


class _Carrier:
    # A session's end of the cable, until the cable has another one.

    def __init__(self, cable):
        self._cable = cable
        self.changed = Signal()
        self.payloads = []

    async def receive(self):
        while not self.payloads:
            if self._cable.carrier is not self:
                raise EOFError
            await self.changed.wait()
        return self.payloads.pop(0)

    async def send(self, payload):
        cable = self._cable
        if cable.carrier is self:
            cable.line.send(payload)
            cable.wake.set()
            while cable.carrier is self and cable.line.waiting:
                await self.changed.wait()
        if cable.carrier is not self:
            raise OSError

    def close(self):
        if self._cable.carrier is self:
            self._cable.end()


class Cable:
    """Takes what comes in from a zero byte on, until nothing of it is a frame."""

    def __init__(self, console):
        self._console = console
        self._splitter = Splitter(_FRAME, self._text)
        self._strange = b""  # what came and was no frame
        self._heard = self._framed = ticks_ms()
        self._nonce = None
        self._answer = None  # to the last opening
        self._due = False  # it is to be sent
        self._stale = False  # whoever typed before went away without a word
        self.line = None
        self.carrier = None
        self.wake = Signal()
        console.kernel.task(console.kernel.system, self._run())

    def feed(self, data):
        """Take bytes."""
        self._heard = ticks_ms()
        for packet in self._splitter.feed(data):
            self._framed = self._heard
            self._strange = b""
            opening = welcome(packet, self._console.tag + 1 & 255)
            carrier = self.carrier
            if opening:
                self._open(*opening)
            elif not carrier:
                if packet:
                    self._answer = gone(packet)
                    self._due = True
            elif len(carrier.payloads) < _PAYLOADS:
                payload = self.line.feed(packet, self._heard)
                if payload is not None:
                    carrier.payloads.append(payload)
                carrier.changed.set()
        self.wake.set()

    def _open(self, nonce, answer, known):
        # The same opening again: its answer was lost.
        if nonce != self._nonce:
            self.end()
            self._nonce = nonce
            self._answer = answer
            self._console.tag = tag = self._console.tag + 1 & 255
            if known:
                self._stale = True
                self.line = Line(tag, _PIECE, _WINDOW)
                self.carrier = _Carrier(self)
                kernel = self._console.kernel
                serving = link.serve(self.carrier, self._console.hello)
                kernel.begin("host:console", serving)
        self._due = True

    def end(self):
        """End the session, if there is one."""
        carrier, line = self.carrier, self.line
        if carrier:
            last = line.poll(ticks_ms())
            if last:
                self._console.write(last)
            self.carrier = self.line = self._nonce = None
            carrier.changed.set()

    def _text(self, data):
        self._strange = (self._strange + bytes(data))[-_FRAME:]

    async def _run(self):
        # Writes what is due, and looks at the clock.
        while self._console.cable is self:
            now = ticks_ms()
            data = None
            if self._due:
                self._due = False
                data = self._answer
            elif self.line:
                data = self.line.poll(now)
            if data:
                await self._put(data)
                continue
            if self._stale:
                self._stale = False
                await self._clean()
            if ticks_diff(now, self._heard) > _QUIET_MS and not self._console.has_more():
                self._splitter.flush()
                gone = ticks_diff(now, self._framed) > _GONE_MS
                if self._strange:
                    await self._typed(gone)
                    continue
                if gone:
                    self.end()
                if not self.carrier:
                    self._console.cable = None
                    self._console.news.set()
            await self.wake.wait(_TICK_MS)

    async def _clean(self):
        console = self._console
        typed = console.typed
        raw = console.mode and not console.mode.shows
        if raw:
            console.mode = None
        if typed and (typed.unmount() or raw):
            await typed.reset()

    async def _typed(self, gone):
        # In a session it is noise, unless it is how mpremote begins.
        text, self._strange = self._strange, b""
        start = text.find(_MPREMOTE)
        if self.carrier:
            # (Its Ctrl-C may have interrupted what ran.)
            alone = not text.strip(_CONTROL) and (b"\r\x03" in text or b"\r\x01" in text)
            if not gone and start < 0 and not alone:
                return
            self.end()
        # What stands before a Ctrl-C does not matter, and an opening that was hurt is no text.
        start = max(0, start, text.find(b"\x03"))
        if start or not (max(text) > 126 or b"kodkod" in text):
            console = self._console
            keys = console.keys
            for byte in text[start:]:
                job = keys.key(console, byte)
                if job:
                    await keys.do(console, job)

    async def _put(self, data):
        # A frame at once: others may take long until it is this task's turn again. No faster than
        # a slow line takes them: a full one would stop the device.
        self._console.write(data)
        await asyncio.sleep_ms(len(data) // 11)
