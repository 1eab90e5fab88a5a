"""A board with bare MicroPython, made of the unix port: a folder as flash, a pty as console.

It behaves as an ESP32 does at its prompt: boot.py and main.py run at a start, raw REPL, soft reset
(the raw REPL comes back), `machine.reset()`. Several things the unix port does itself; what it
does not (a soft reset ends it, it has no machine.reset) is done by a bridge between two ptys.
"""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import termios
import threading
import time
import tty
from pathlib import Path

from interpreter import micropython

_RESET = 75
_READY = b"\x1e"
_START = """
import sys, vfs
print("\\x1e", end="")
class machine:
    def reset():
        import os
        sys.exit(75)
sys.modules["machine"] = machine
class Root:  # a VfsPosix with a root cannot rename: it has one buffer for both paths
    host = vfs.VfsPosix()
    def mount(self, readonly, mkfs):
        pass
    umount = getcwd = lambda self: "/"
    def chdir(self, path):
        pass
    def rename(self, old, new):
        self.host.rename(_real(old), _real(new))
    def __getattr__(self, name):
        method = getattr(self.host, name)
        return lambda path, *more: method(_real(path), *more)
def _real(path):
    return {root!r} + "/" + path.lstrip("/")
vfs.umount("/")
vfs.mount(Root(), "/")
sys.path[:] = ["", "/lib"]
def _run(name):
    try:
        with open(name) as file:
            code = file.read()
    except OSError:
        return
    try:
        exec(compile(code, name, "exec"), globals())
    except SystemExit:
        raise
    except BaseException as error:
        sys.print_exception(error)
for _name in {starts!r}:
    _run(_name)
"""


class UnixBoard:
    """The board; `port` is its console for mpremote. Use it as a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.restarts: list[str] = []
        self._outer, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self.ready = threading.Event()
        self._ends = False
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> UnixBoard:
        self._thread.start()
        assert self.ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._ends = True
        self._thread.join(10)
        os.close(self._outer)
        os.close(self._slave)

    def _spawn(self, starts: tuple[str, ...]) -> tuple[subprocess.Popen[bytes], int]:
        script = self.folder.parent / f"{self.folder.name}.start.py"
        script.write_text(_START.format(root=str(self.folder), starts=starts))
        inner, slave = pty.openpty()
        tty.setraw(slave)  # neither echo nor \r\n of its own, but Ctrl-C
        modes = termios.tcgetattr(slave)
        modes[3] |= termios.ISIG
        termios.tcsetattr(slave, termios.TCSANOW, modes)
        process = subprocess.Popen(
            [*micropython(), "-X", "heapsize=8m", "-i", str(script)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: _take_terminal(slave),
            env={"PATH": os.environ["PATH"], "TERM": "dumb"},
        )
        os.close(slave)
        return process, inner

    def _serve(self) -> None:
        starts: tuple[str, ...] = ("boot.py", "main.py")
        while not self._ends:
            process, inner = self._spawn(starts)
            try:
                raw = self._bridge(process, inner)
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGKILL)
                process.wait()
                os.close(inner)
            if self._ends:
                return
            if process.returncode == _RESET:
                self.restarts.append("hard")
                starts = ("boot.py", "main.py")
                self._say(b"\r\nrst:0xc (SW_CPU_RESET)\r\n")
            else:
                self.restarts.append("soft")
                starts = ("boot.py",) if raw else ("boot.py", "main.py")
                self._say(b"MPY: soft reboot\r\n")
                self._raw_again = raw

    _raw_again = False

    def _bridge(self, process: subprocess.Popen[bytes], inner: int) -> bool:
        """Passes bytes both ways until the process ends; whether it was in the raw REPL."""
        raw = again = self._raw_again
        self._raw_again = False
        seen = b""
        listens = False  # what is typed while a board starts waits in its UART
        while not self._ends:
            ready = select.select([inner, self._outer] if listens else [inner], [], [], 0.05)[0]
            if inner in ready:
                try:
                    data = os.read(inner, 4096)
                except OSError:  # the process has gone
                    return raw
                if _READY in data:
                    listens, data = True, data.replace(_READY, b"")
                    self.ready.set()
                seen = (seen + data)[-4096:]
                if again and b">>> " in seen:  # a board that was in the raw REPL is so again
                    data = seen[seen.rindex(b">>> ") + 4 :]
                    again = False
                    os.write(inner, b"\x01")
                if not again:
                    self._say(data)
                if b"raw REPL; CTRL-B to exit" in seen:
                    raw = True
            if self._outer in ready:
                data = os.read(self._outer, 4096)
                if b"\x02" in data:
                    raw, seen = False, b""
                os.write(inner, data)
            if process.poll() is not None and not select.select([inner], [], [], 0)[0]:
                return raw
        return raw

    def _say(self, data: bytes) -> None:
        end = time.monotonic() + 5
        while data and time.monotonic() < end:
            data = data[os.write(self._outer, data) :]


def _take_terminal(slave: int) -> None:
    """Makes the pty the process's own terminal, so that a Ctrl-C byte is a Ctrl-C."""
    import fcntl

    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
