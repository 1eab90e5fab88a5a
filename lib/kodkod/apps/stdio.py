# What an app sees as `sys`: its own modules, path and arguments; its output is its log.

import io
import sys as _sys

from kodkod.apps import loader, logs


class Output(io.IOBase):
    """A stdout that is the log of whoever writes to it."""

    def write(self, data):
        """Text, or bytes of it, in whole characters; of other bytes what is ASCII."""
        text = data
        if not isinstance(data, str):
            try:
                text = str(data, "utf-8")
            except UnicodeError:
                text = "".join([chr(byte) if byte < 127 else "?" for byte in data])
        logs.printed(loader.kernel.current, text)
        return len(data)


class _Input(io.IOBase):
    # Always at its end.
    def readinto(self, buffer):
        return 0

    def read(self, size=-1):
        return ""

    readline = read

    def ioctl(self, request, flags):
        return flags if request == 3 else 0  # poll

    def __iter__(self):
        return iter(())


def _print_exception(exc, file=None):
    _sys.print_exception(exc, logs.output if file is None else file)


def sys(app, view):
    """For `import sys`."""
    view.modules = app.modules
    view.path = loader.path(app)
    view.argv = [app.name]
    view.stdin = _Input()
    view.stdin.buffer = view.stdin
    view.stdout = view.stderr = logs.output
    view.print_exception = _print_exception


logs.output = Output()
logs.output.buffer = logs.output
