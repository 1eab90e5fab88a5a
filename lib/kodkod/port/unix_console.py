# The simulated device's console and flash. The simulator keeps a Ctrl-C back while typed code
# runs, which it sees by ISIG of the device's terminal, and tells of it through a pipe.

import os
import sys
import termios
import time

import micropython

_ISIG = 0x80 if sys.platform == "darwin" else 1
_LFLAG = 3

_pipe = os.getenv("KODKOD_CTRL_C")
_pipe = open(int(_pipe), "rb") if _pipe else None  # noqa: SIM115
_byte = bytearray(1)
_on = False
_struck = 0  # ticks since a Ctrl-C came, 0: none is on its way
_signalled = False


def console_ctrl_c(on):
    """Whether a Ctrl-C that comes in interrupts what runs, or is a byte like any other. One
    that is on its way is raised in here."""
    global _on, _struck, _signalled
    _on = on
    if _pipe:
        attributes = termios.tcgetattr(1)
        flags = attributes[_LFLAG]
        attributes[_LFLAG] = flags | _ISIG if on else flags & ~_ISIG
        termios.tcsetattr(1, termios.TCSANOW, attributes)
    _struck = 0
    wait, _signalled = _signalled, False
    for _ in range(30 if wait else 2):
        if wait:
            time.sleep_ms(1)


def tick():
    """Called by the port's thread every 10 ms: allocates nothing."""
    global _struck, _signalled
    if _struck:
        _struck += 1
        if _struck == 4:
            from kodkod.port import unix

            if unix._sleeps():  # in time.sleep, say, where no callback runs
                _signalled = True
                os.system("(sleep .002; kill -INT $PPID) &")
            _struck = 0
    elif _pipe and _pipe.readinto(_byte) and _on:
        _struck = 1
        try:
            micropython.schedule(_strike, None)
        except RuntimeError:  # the queue is full: the signal does it
            pass


def _strike(_):
    global _struck
    from kodkod.port import unix

    if _struck and _on:
        _struck = 0
        unix.interrupt()


class Flash:
    """The folder that stands for the flash, to be mounted as the device's root."""

    # VfsPosix with a root can take one path at a time, and rename needs two.
    def __init__(self, folder):
        self._folder = folder
        self._inside = os.VfsPosix(folder)
        self._outside = os.VfsPosix()

    def __getattr__(self, name):
        return getattr(self._inside, name)

    def rename(self, old, new):
        self._outside.rename(self._real(old), self._real(new))

    def _real(self, path):
        return self._folder + path if path.startswith("/") else path


def mount_flash(folder):
    """Make `folder` the root, as the flash is on an ESP32, and the working directory."""
    os.umount("/")
    os.mount(Flash(folder), "/")
    os.chdir("/")
    sys.path[:] = ["", ".frozen", "/lib"]
    for module in sys.modules.values():
        path = getattr(module, "__path__", "")
        if path.startswith(folder):
            module.__path__ = path[len(folder) :]
