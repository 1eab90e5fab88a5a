# What typed code sees in place of a few modules: its asyncio.run, its stdin, a Ctrl-C that is
# kept in order, restarts that let the apps end.

import asyncio  # noqa: F401
import io
import select
import sys

import machine  # noqa: F401
import micropython  # noqa: F401
from micropython import const

from kodkod import port

_POLL = const(3)  # MP_STREAM_POLL
_QUIET_MS = const(150)  # then what has come is looked at
_QUIETS = const(20)  # and then nobody will come
_OPENING = b"~@  kodkod "  # of a session: in a frame, the second byte after a zero
_TAIL = const(16)


class _Stdin(io.IOBase):
    # mpremote's file system waits here for mpremote, which may be gone. Stock MicroPython then
    # waits for ever, and takes what the next host sends for the answer.

    def __init__(self, stream, typed, text):
        self._stream = stream
        self._typed = typed
        self._text = text
        self._poller = select.poll()
        self._poller.register(stream, select.POLLIN)
        self._one = bytearray(1)
        self._tail = b""  # what came last

    def ioctl(self, request, argument):
        if request != _POLL:
            return -1
        for _ in self._poller.ipoll(0):
            return argument & select.POLLIN
        return 0

    def readinto(self, buffer, count=None):
        if count is None:
            count = len(buffer)
        at = quiet = 0
        while at < count:
            if self._typed.left:
                raise OSError(110)  # ETIMEDOUT
            for _ in self._poller.ipoll(_QUIET_MS):
                self._stream.readinto(self._one)
                buffer[at] = self._one[0]
                at += 1
                break
            else:
                quiet += 1
                self._look(bytes(buffer[:at]))
                self._typed.left = quiet == _QUIETS
        if count <= 4:
            self._look(bytes(buffer[:at]))
        self._tail = (self._tail + bytes(buffer[max(0, at - _TAIL) : at]))[-_TAIL:]
        return count

    def read(self, count=-1):
        return self._take(count, False)

    def readline(self, count=-1):
        return self._take(count, True)

    def _take(self, count, line):
        # As the stream does it, but what the next host says stays for the console.
        typed = self._typed
        text = self._text
        data = bytearray()
        left = 0  # bytes of a character
        typed.reading = True
        try:
            while count or left:
                for _ in self._poller.ipoll(_QUIET_MS):
                    break
                else:
                    if typed.raw:
                        self._look(bytes(data))
                    continue
                self._stream.readinto(self._one)
                byte = self._one[0]
                if byte == 3 and not typed.raw:
                    raise KeyboardInterrupt
                data.append(byte)
                if data[-2:] == b"\r\x01" and not typed.raw:
                    # mpremote's beginning, whose Ctrl-C is on its way to be raised here.
                    typed.console.again = b"\x01"
                    raise KeyboardInterrupt
                if left:
                    left -= 1
                else:
                    count -= 1
                    left = text and (byte >= 0xC0) + (byte >= 0xE0) + (byte >= 0xF0)
                if line and (byte == 10 or (byte == 13 and text)):
                    break
        finally:
            typed.reading = False
        return str(data, "utf-8").replace("\r", "\n") if text else bytes(data)

    def _look(self, data):
        # Is it the beginning of another host's conversation?
        data = self._tail + data
        opening = data.find(_OPENING)
        if data[-4:] == b"\r\x03\r\x01":
            self._typed.console.again = b"\x01"
        elif data[-2:] != b"\r\x03" and (opening < 2 or data[opening - 2]):
            return
        self._typed.left = True
        raise KeyboardInterrupt


class Views:
    """The views for the record of `typed`, by the names of the modules; made when imported."""

    def __init__(self, typed):
        self._typed = typed
        self._made = {}

    def get(self, name):
        """The view of a module, or None."""
        if name in self._made:
            return self._made[name]
        if name not in ("asyncio", "sys", "micropython", "machine"):
            return None
        view = self._made[name] = self._typed.console.load("view")
        view.of = module = globals()[name]
        if name != "asyncio":  # whose parts load when they are asked for
            for each in dir(module):
                setattr(view, each, getattr(module, each))
        getattr(self, "see_" + name)(view)
        return view

    def see_asyncio(self, view):
        view.run = self._typed.run

    def see_sys(self, view):
        view.stdin = _Stdin(sys.stdin, self._typed, True)
        view.stdin.buffer = _Stdin(sys.stdin.buffer, self._typed, False)

    def see_micropython(self, view):
        from kodkod.apps import tricks

        typed = self._typed
        tricks.micropython(typed.record(), view)
        view.kbd_intr = typed.kbd_intr

    def see_machine(self, view):
        kernel = self._typed.kernel

        async def stop():
            await kernel.stop_all()
            port.reset()

        def restart():
            kernel.task(kernel.system, stop())
            raise SystemExit

        view.reset = view.soft_reset = restart
