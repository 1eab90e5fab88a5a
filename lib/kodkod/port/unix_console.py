# The simulated device's console and flash. The simulator keeps a Ctrl-C back while typed code
# runs, which it sees by ISIG of the device's terminal, and tells of it through a pipe.

import os
import sys
import termios
import time

_ISIG = 0x80 if sys.platform == "darwin" else 1
_LFLAG = 3

_pipe = os.getenv("KODKOD_CTRL_C")
_pipe = open(int(_pipe), "rb") if _pipe else None  # noqa: SIM115
_byte = bytearray(1)
_on = False
_busy = False


def switch(on, interrupt):
    """Whether a Ctrl-C that comes in interrupts what runs; `interrupt` does it."""
    global _on
    if _pipe:
        attributes = termios.tcgetattr(1)
        flags = attributes[_LFLAG]
        attributes[_LFLAG] = flags | _ISIG if on else flags & ~_ISIG
        termios.tcsetattr(1, termios.TCSANOW, attributes)
    _on = on
    while _busy:
        time.sleep_ms(1)
    # One that the thread has not seen: it comes now, or is of a time before.
    if _pipe and _pipe.readinto(_byte) and not on:
        interrupt()


def tick(interrupt):
    """Called by the port's thread every 10 ms: allocates nothing."""
    global _busy
    if _pipe and _pipe.readinto(_byte):
        _busy = True
        if _on:
            interrupt()
        _busy = False


class Flash:
    """The folder that stands for the flash, to be mounted as the device's root."""

    # VfsPosix with a root takes one path at a time, and rename needs two; it tells no sizes.
    def __init__(self, folder):
        self._folder = folder
        self._inside = os.VfsPosix(folder)
        self._outside = os.VfsPosix()

    def __str__(self):
        return str(self._inside)

    def __getattr__(self, name):
        return getattr(self._inside, name)

    def rename(self, old, new):
        self._outside.rename(self._real(old), self._real(new))

    def ilistdir(self, path):
        for entry in self._inside.ilistdir(path):
            name = path + "/" + entry[0] if path else entry[0]
            yield entry + (self._inside.stat(name)[6] if entry[1] == 0x8000 else 0,)

    def _real(self, path):
        return self._folder + path if path.startswith("/") else path


def mount_flash(folder):
    """Make `folder` the root, as the flash is on an ESP32, and the working directory."""
    os.umount("/")
    os.mount(Flash(folder), "/")
    os.chdir("/")
    new = folder + "/lib.new"  # a library that is on trial: firmware/main.py
    sys.path[:] = ["/lib.new"] * (new in sys.path) + ["", ".frozen", "/lib"]
    for module in sys.modules.values():
        path = getattr(module, "__path__", "")
        if path.startswith(folder):
            module.__path__ = path[len(folder) :]
