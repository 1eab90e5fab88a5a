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
_WAIT_MS = const(3000)


class _Stdin(io.IOBase):
    # mpremote's file system waits here, and mpremote may be gone: then stock MicroPython waits
    # for ever, and takes what the next mpremote sends for its answer.

    def __init__(self, stream):
        self._stream = stream
        self.read = stream.read
        self.readline = stream.readline
        self._poller = select.poll()
        self._poller.register(stream, select.POLLIN)
        self._one = bytearray(1)
        self._last = 0

    def ioctl(self, request, argument):
        if request != _POLL:
            return -1
        for _ in self._poller.ipoll(0):
            return argument & select.POLLIN
        return 0

    def readinto(self, buffer, count=None):
        count = len(buffer) if count is None else count
        one = self._one
        for at in range(count):
            for _ in self._poller.ipoll(_WAIT_MS):
                break
            else:
                raise OSError(110)  # ETIMEDOUT
            self._stream.readinto(one)
            buffer[at] = one[0]
        if count == 1 and one[0] == 3 and self._last == 13:
            raise KeyboardInterrupt  # how mpremote begins
        self._last = one[0] if count == 1 else 0
        return count


class Views:
    """The views for the record of `typed`, by the names of the modules; made when imported."""

    def __init__(self, typed):
        self._typed = typed
        self._made = {}

    def __contains__(self, name):
        return self.get(name) is not None

    def __getitem__(self, name):
        return self.get(name)

    def get(self, name):
        """The view of a module, or None."""
        if name in self._made:
            return self._made[name]
        make = getattr(self, "_make_" + name, None)
        if not make:
            return None
        own = make()
        view = self._made[name] = self._typed.console.load("view")
        view.of = module = globals()[name]
        if name != "asyncio":  # whose parts load when they are asked for
            for each in dir(module):
                setattr(view, each, getattr(module, each))
        for each in own:
            setattr(view, each, own[each])
        return view

    def _make_asyncio(self):
        return {"run": self._typed.run}

    def _make_sys(self):
        stdin = _Stdin(sys.stdin)
        stdin.buffer = _Stdin(sys.stdin.buffer)
        return {"stdin": stdin}

    def _make_micropython(self):
        typed = self._typed

        def kbd_intr(char):
            if typed.typing:
                port.console_ctrl_c(char == 3)

        return {"kbd_intr": kbd_intr}

    def _make_machine(self):
        kernel = self._typed.kernel

        async def stop():
            await kernel.stop_all()
            port.reset()

        def restart():
            kernel.task(kernel.system, stop())
            raise SystemExit

        return {"reset": restart, "soft_reset": restart}
