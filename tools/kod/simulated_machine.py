"""What a simulated device is made of: a process of the unix port, and the line to its console."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import struct
import subprocess
import termios
import time
import tty
from pathlib import Path

from kod import micropython

# Bytes that the console of an ESP32 keeps before it drops: its port's stdin_ringbuf_array.
RING = 260
GRACE = 2.0  # seconds until a device that was told to end is ended by force
_STUCK = 2.0  # seconds that a reader of the console may pause before output is dropped


class FakeReceiveRing:
    """The console's receive buffer of an ESP32: 260 bytes, and what does not fit is lost.

    A fake for hardware: the device reads a pipe, and what lies in it unread is the ring.
    """

    def __init__(self) -> None:
        self.device_end, self._end = os.pipe()
        self.dropped = 0

    def push(self, data: bytes) -> None:
        unread = struct.unpack("i", fcntl.ioctl(self.device_end, termios.FIONREAD, b"\0" * 4))[0]
        kept = data[: RING - unread]
        self.dropped += len(data) - len(kept)
        if kept:
            os.write(self._end, kept)

    def close(self) -> None:
        os.close(self.device_end)
        os.close(self._end)


class Pace:
    """How many bytes a serial line of some speed has carried by now; 0 baud is without limit."""

    def __init__(self, baud: int) -> None:
        self._rate = baud / 10  # a start and a stop bit around each byte
        self._burst = max(16.0, self._rate * 0.005)
        self._credit = self._burst
        self._then = time.monotonic()

    def allowance(self) -> int:
        if not self._rate:
            return 4096
        now = time.monotonic()
        self._credit = min(self._burst, self._credit + (now - self._then) * self._rate)
        self._then = now
        return int(self._credit) if self._credit >= 8 else 0

    def used(self, count: int) -> None:
        self._credit -= count

    @property
    def pause(self) -> float:
        """Seconds until more than a few bytes may pass."""
        return 16 / self._rate if self._rate else 0.0


class Console:
    """The pty that stands for the USB port; bytes that nobody listens to are lost, as there."""

    def __init__(self, baud: int) -> None:
        self.master, slave = os.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        os.close(slave)  # so that the master tells whether somebody has the console open
        os.set_blocking(self.master, False)
        self._poll = select.poll()
        self._poll.register(self.master, select.POLLIN)
        self._pending = b""
        self._progress = 0.0
        self.towards = Pace(baud)
        self.away = Pace(baud)

    @property
    def is_open(self) -> bool:
        return not any(event & select.POLLHUP for _, event in self._poll.poll(0))

    @property
    def is_full(self) -> bool:
        """True while a reader that is there has not taken what was written last."""
        self.flush()
        return bool(self._pending)

    def write(self, data: bytes) -> None:
        if self.is_open:
            self._pending += data
            self._progress = time.monotonic()
            self.flush()

    def flush(self) -> None:
        if not self._pending:
            return
        with contextlib.suppress(BlockingIOError):
            sent = os.write(self.master, self._pending)
            self._pending = self._pending[sent:]
            self._progress = time.monotonic()
        if self._pending and (not self.is_open or time.monotonic() - self._progress > _STUCK):
            self._pending = b""

    def read(self, limit: int) -> bytes:
        try:
            data = os.read(self.master, limit)
        except (BlockingIOError, OSError):
            return b""
        self.towards.used(len(data))
        return data

    def close(self) -> None:
        os.close(self.master)


class Process:
    """One boot of the device: the unix port, alone in its session.

    Its output goes to a pty of its own that is its controlling terminal: when this process
    ends, however it ends, the system hangs that terminal up, and the device ends too.
    """

    def __init__(self, folder: Path, heap: str | None, reset_cause: str) -> None:
        self.ring = FakeReceiveRing()
        ctrl_c, self._ctrl_c = os.pipe()
        os.set_blocking(ctrl_c, False)
        self.output, slave = os.openpty()
        tty.setraw(slave)
        command = micropython.command()
        if heap:
            command += ["-X", f"heapsize={heap}"]
        home = os.path.realpath(folder)  # as the device itself sees it
        environment = {
            **os.environ,
            "KODKOD_ROOT": home,
            "KODKOD_RESET_CAUSE": reset_cause,
            "KODKOD_CTRL_C": str(ctrl_c),
            "MICROPYPATH": f".frozen:{home}/lib",
        }
        self.started = time.monotonic()
        try:
            self._child = subprocess.Popen(
                [*command, "main.py"],
                cwd=home,
                env=environment,
                stdin=self.ring.device_end,
                stdout=slave,
                stderr=slave,
                start_new_session=True,
                preexec_fn=_take_terminal,
                pass_fds=(ctrl_c,),
            )
        finally:
            os.close(slave)
            os.close(ctrl_c)
        os.set_blocking(self.output, False)

    @property
    def pid(self) -> int:
        return self._child.pid

    def exit_code(self) -> int | None:
        return self._child.poll()

    def receive(self, data: bytes) -> None:
        """Takes bytes from the console. While typed code runs there, a Ctrl-C interrupts it."""
        if b"\x03" in data and self._is_typing:
            os.write(self._ctrl_c, b"\x03")
            data = data.replace(b"\x03", b"")
        self.ring.push(data)

    @property
    def _is_typing(self) -> bool:
        return bool(termios.tcgetattr(self.output)[3] & termios.ISIG)

    def read(self, limit: int) -> bytes:
        try:
            return os.read(self.output, limit)
        except OSError:
            return b""

    def end(self) -> None:
        """Ends the process and everything that it started."""
        if self._child.poll() is None:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(GRACE)
        self._signal(signal.SIGKILL)
        self._child.wait()

    def close(self) -> None:
        self.ring.close()
        os.close(self._ctrl_c)
        os.close(self.output)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, number)


def _take_terminal() -> None:
    fcntl.ioctl(2, termios.TIOCSCTTY, 0)
