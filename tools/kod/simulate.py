"""A device on this computer: the unix port on a folder as flash, with a pty as its console."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from kod import config, library, micropython
from kod.errors import INTERRUPTED, BadInput, UserError
from kod.simulated import LOCK, RUN, answers, running

HOST = "127.0.0.1"
DEFAULT_BAUD = 115200
RING = 260  # bytes the console of an ESP32 keeps before it drops (reference: micropython.md)
# How a device asks to be started again, and what its next start is told of that.
RESET = {75: "reset", -signal.SIGUSR2: "reset", -signal.SIGUSR1: "watchdog"}

RTC = "rtc.bin"  # memory that outlives a reset and not a power cut; lib/kodkod/port/unix.py
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_BOOT_MARK = ".library"
_GRACE = 2.0  # seconds until a device that was told to end is ended by force
_STUCK = 2.0  # seconds that a reader of the console may pause before output is dropped
_REOPEN = 0.02  # seconds between looks whether somebody opened the console
_QUICK = 1.0  # a boot shorter than this is followed by a pause, or a boot loop would eat the CPU


# --- the folder -----------------------------------------------------------------------------


@dataclass
class Flash:
    """The folder that is a simulated device's flash, and the settings on it."""

    folder: Path
    settings: dict[str, Any]

    @property
    def known(self) -> config.Known:
        return config.Known(
            id=self.settings["id"],
            name=self.settings["name"],
            key=self.settings["key"],
            host=HOST,
            port=self.settings["port"],
            chip="simulated",
            folder=str(self.folder),
        )

    def save(self) -> None:
        config.write_private(self.folder / "kodkod.json", self.settings)


def prepare(folder: Path, name: str | None, port: int) -> Flash:
    """Makes the flash in `folder` when it is new, and brings its library up to date."""
    if name is not None and not _NAME.fullmatch(name):
        raise BadInput(f"'{name}' cannot name a device: use up to 32 letters, digits, - and _")
    folder = folder.expanduser().absolute()
    settings = config.read(folder / "kodkod.json")
    if not settings:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise BadInput(
                f"{folder} is no simulated device and not empty; name a new or an empty folder"
            )
        folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "name": name or "sim",
            "id": secrets.token_hex(6),
            "key": secrets.token_hex(16),
            "port": 0,
            "wifi": [],
        }
    if not all(isinstance(settings.get(key), str) for key in ("name", "id", "key")):
        raise UserError(f"{folder}/kodkod.json lacks name, id or key; remove the folder")
    flash = Flash(folder, settings)
    settings["name"] = name or settings["name"]
    settings["port"] = _choose_port(port, settings.get("port", 0))
    flash.save()
    _write_library(folder)
    return flash


def _choose_port(wanted: int, before: int) -> int:
    if wanted:
        if not _is_free(wanted):
            raise UserError(f"port {wanted} is in use; give another, or --port 0 to take any")
        return wanted
    if before and _is_free(before):
        return before
    with socket.socket() as any_port:
        any_port.bind((HOST, 0))
        return int(any_port.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise UserError(f"port {port} cannot be used: {error.strerror}") from None
    return True


def _write_library(folder: Path) -> None:
    """Brings library, boot.py and main.py up to date: what the firmware of a real device is."""
    contents = library.files()
    mark = folder / _BOOT_MARK
    wanted = library.digest(contents)
    if mark.is_file() and mark.read_text() == wanted:
        return
    mark.unlink(missing_ok=True)  # a start that is cut off here writes everything again
    shutil.rmtree(folder / "lib" / "kodkod", ignore_errors=True)
    for name, data in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    mark.write_text(wanted)


# --- one at a time --------------------------------------------------------------------------


def stop(folder: Path) -> bool:
    """Ends the simulated device on `folder`; False when none runs there."""
    run = running(folder)
    if run is None:
        return False
    os.kill(run["pid"], signal.SIGTERM)
    deadline = time.monotonic() + 2 * _GRACE + 1
    while running(folder):
        if time.monotonic() > deadline:
            raise UserError(
                f"simulated device '{run['name']}' (process {run['pid']}) does not end"
            )
        time.sleep(0.02)
    return True


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    with open(folder / LOCK, "w") as lock:
        if not _lock(lock.fileno()):
            refuse_second(config.read(folder / RUN))
        yield


def refuse_second(run: dict[str, Any]) -> NoReturn:
    raise UserError(
        f"simulated device '{run.get('name', '?')}' runs already "
        f"(process {run.get('pid', '?')}); --name makes another one"
    )


def _lock(handle: int) -> bool:
    for _ in range(20):  # `running` holds the lock for a moment when it looks
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(0.02)
        else:
            return True
    return False


# --- the machine ----------------------------------------------------------------------------


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

    def __init__(self, flash: Flash, heap: str | None, reset_cause: str) -> None:
        self.ring = FakeReceiveRing()
        ctrl_c, self._ctrl_c = os.pipe()
        os.set_blocking(ctrl_c, False)
        self.output, slave = os.openpty()
        tty.setraw(slave)
        command = micropython.command()
        if heap:
            command += ["-X", f"heapsize={heap}"]
        folder = os.path.realpath(flash.folder)  # as the device itself sees it
        environment = {
            **os.environ,
            "KODKOD_ROOT": folder,
            "KODKOD_RESET_CAUSE": reset_cause,
            "KODKOD_CTRL_C": str(ctrl_c),
            "MICROPYPATH": f".frozen:{folder}/lib",
        }
        self.started = time.monotonic()
        try:
            self._child = subprocess.Popen(
                [*command, "main.py"],
                cwd=folder,
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
                self._child.wait(_GRACE)
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


class Simulator:
    """Runs a simulated device until it is told to end."""

    def __init__(
        self,
        flash: Flash,
        *,
        heap: str | None = None,
        baud: int = DEFAULT_BAUD,
        show: Callable[[bytes], None] | None = None,
        started: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self.flash = flash
        self._heap = heap
        self._baud = baud
        self._show = show
        self._started = started
        self._signal = 0

    def run(self) -> int:
        """Returns the exit code: 0 when the device or SIGTERM ended it, 130 after Ctrl-C."""
        with _only_one(self.flash.folder), self._signals() as wake:
            console = Console(self._baud)
            _register(self.flash)
            try:
                return self._run(console, wake)
            finally:
                (self.flash.folder / RUN).unlink(missing_ok=True)
                console.close()

    def _run(self, console: Console, wake: int) -> int:
        cause = "power"
        (self.flash.folder / RTC).unlink(missing_ok=True)
        while True:
            process = Process(self.flash, self._heap, cause)
            try:
                run = self._describe(console, process)
                config.write_private(self.flash.folder / RUN, run)
                if cause == "power" and self._started:
                    self._started(run)
                self._carry(console, process, wake)
            finally:
                code = process.exit_code()
                process.end()
                self._drain(console, process)
                process.close()
            if self._signal:
                return INTERRUPTED if self._signal == signal.SIGINT else 0
            if code == 0:
                return 0
            if code not in RESET:
                raise UserError(_ending(self.flash.settings["name"], code))
            cause = RESET[code]
            if time.monotonic() - process.started < _QUICK:
                time.sleep(0.2)

    def _carry(self, console: Console, process: Process, wake: int) -> None:
        """Carries bytes between the console and the device until either is to end."""
        while process.exit_code() is None and not self._signal:
            poll = select.poll()
            poll.register(wake, select.POLLIN)
            timeout = 1.0
            listened = console.is_open
            if not listened:
                # What was sent last is on the line. Left there, it would come at once with what
                # the next one sends, and fill the ring.
                last = console.read(console.towards.allowance())
                process.receive(last)
                timeout = console.towards.pause if last else _REOPEN
            elif console.towards.allowance():
                poll.register(console.master, select.POLLIN)
            else:
                timeout = console.towards.pause
            if console.is_full:
                timeout = min(timeout, 0.005)
            elif not listened or console.away.allowance():
                poll.register(process.output, select.POLLIN)
            else:
                timeout = min(timeout, console.away.pause)
            ready = {fd for fd, event in poll.poll(timeout * 1000) if event & select.POLLIN}
            if wake in ready:
                os.read(wake, 512)
            if console.master in ready:
                process.receive(console.read(console.towards.allowance()))
            if process.output in ready:
                self._forward(console, process.read(console.away.allowance() or 16))

    def _forward(self, console: Console, data: bytes) -> None:
        if data and console.is_open:
            console.away.used(len(data))
            console.write(data)
        if data and self._show:
            self._show(data)

    def _drain(self, console: Console, process: Process) -> None:
        """What the device said last is not lost with it."""
        while data := process.read(4096):
            self._forward(console, data)

    def _describe(self, console: Console, process: Process) -> dict[str, Any]:
        settings = self.flash.settings
        return {
            "name": settings["name"],
            "id": settings["id"],
            "host": HOST,
            "port": settings["port"],
            "console": console.path,
            "folder": str(self.flash.folder),
            "pid": os.getpid(),
            "device_pid": process.pid,
        }

    @contextlib.contextmanager
    def _signals(self) -> Iterator[int]:
        """A descriptor that gets readable when a child ended or somebody wants this to end."""
        readable, writable = os.pipe()
        os.set_blocking(writable, False)
        os.set_blocking(readable, False)
        kinds = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
        before = {kind: signal.signal(kind, self._on_signal) for kind in kinds}
        wakeup = signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
        try:
            yield readable
        finally:
            signal.set_wakeup_fd(wakeup)
            for kind, handler in before.items():
                signal.signal(kind, handler)
            os.close(readable)
            os.close(writable)

    def _on_signal(self, number: int, _frame: object) -> None:
        if number != signal.SIGCHLD:
            self._signal = number


def _register(flash: Flash) -> None:
    """Makes the device known on this computer, and forgets those whose folder is gone."""
    for known in config.devices():
        made_anew = known.folder == str(flash.folder) and known.id != flash.known.id
        if known.is_simulated and (made_anew or not Path(known.folder).is_dir()):
            config.forget(known)
    config.remember(flash.known)


def _ending(name: str, code: int | None) -> str:
    if code is not None and code < 0:
        return f"simulated device '{name}' was ended by signal {-code}"
    return f"simulated device '{name}' ended with code {code}; its console says why"


# --- in the background ----------------------------------------------------------------------


def detach(flash: Flash, options: list[str], timeout: float = 15.0) -> dict[str, Any]:
    """Starts `kod simulate` in the background and returns its run.json once it can be reached."""
    folder = flash.folder
    log = folder / "console.log"
    with open(log, "wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "kod", "simulate", "--folder", str(folder), *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if child.poll() is not None:
            break
        run = running(folder)
        if run and answers(run["host"], run["port"]):
            child.returncode = 0  # it goes on without this process
            return run
        time.sleep(0.03)
    if child.poll() is None:
        child.terminate()
        child.wait()
    *console, last = log.read_text(errors="replace").strip().splitlines()[-12:] or [""]
    raise UserError(
        f"the simulated device did not start: {last.removeprefix('kod: ')}",
        detail="\n".join(console),
    )
