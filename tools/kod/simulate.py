"""Runs a device on this computer: the unix port, a folder as flash, a pty as its console."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kod import config
from kod.errors import INTERRUPTED, UserError
from kod.simulated import LOCK, RUN, answers, refuse_second, running
from kod.simulated_flash import HOST, Flash
from kod.simulated_machine import GRACE, Console, Process

DEFAULT_BAUD = 115200
# How a device asks to be started again, and what its next start is told of that.
RESET = {75: "reset", -signal.SIGUSR2: "reset", -signal.SIGUSR1: "watchdog"}

RTC = "rtc.bin"  # memory that outlives a reset and not a power cut; lib/kodkod/port/unix.py
_REOPEN = 0.02  # seconds between looks whether somebody opened the console
_QUICK = 1.0  # a boot shorter than this is followed by a pause, or a boot loop would eat the CPU


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
            process = Process(self.flash.folder, self._heap, cause)
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


def stop(folder: Path) -> dict[str, Any] | None:
    """Ends the simulated device on `folder`, and returns its run.json; None when none runs."""
    run = running(folder)
    if run is None:
        return None
    os.kill(run["pid"], signal.SIGTERM)
    deadline = time.monotonic() + 2 * GRACE + 1
    while running(folder):
        if time.monotonic() > deadline:
            raise UserError(
                f"simulated device '{run['name']}' (process {run['pid']}) does not end"
            )
        time.sleep(0.02)
    return run


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    with open(folder / LOCK, "w") as lock:
        if not _lock(lock.fileno()):
            refuse_second(config.read(folder / RUN))
        yield


def _lock(handle: int) -> bool:
    for _ in range(20):  # `running` holds the lock for a moment when it looks
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(0.02)
        else:
            return True
    return False


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
    run = None
    try:
        run = _await(folder, child, timeout)
    finally:  # Ctrl-C, too
        if run is None and child.poll() is None:
            child.terminate()
            child.wait()
    if run:
        child.returncode = 0  # it goes on without this process
        return run
    if other := running(folder):
        refuse_second(other)
    *console, last = log.read_text(errors="replace").strip().splitlines()[-12:] or [""]
    raise UserError(
        f"the simulated device did not start: {last.removeprefix('kod: ')}",
        detail="\n".join(console),
    )


def _await(folder: Path, child: subprocess.Popen[bytes], timeout: float) -> dict[str, Any] | None:
    """The run.json of `child`, once it can be reached; None when it ended, or took too long."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline and child.poll() is None:
        run = running(folder)
        if run and run["pid"] == child.pid and answers(run["host"], run["port"]):
            return run
        time.sleep(0.03)
    return None
