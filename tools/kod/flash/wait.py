"""Hears a device come up: by what its console says, over the cable, by its beacon."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kod import config, discover
from kod.errors import UserError
from kod.flash import ports

if TYPE_CHECKING:
    from kod.link import Connection

_NUDGE_S = 2.0
_ASK_S = 1.5  # for one try to begin a session over the console
_RESET_S = 4.0  # a device speaks within 2 s of its reset; what it said may have been missed
_SILENT_S = 9.0  # then the lines do not reset it: somebody must press EN
_PULSE_S = 0.1
_REOPEN_S = 0.5  # native USB goes away with a reset and comes back as the same or another port
_ADDRESS = re.compile(r"\b(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})(?::(\d{1,5}))?\b")
_SPEAKS = re.compile(r"\[?kodkod\b")  # what Kodkod itself says, not a path
_UP = re.compile(r"\[?kodkod\b.*\b(?:up|ready|at \d)")
_FAILED = re.compile(r"(?:\[?kodkod\b.*)?Traceback \(most recent")  # an app's is its own affair
_KEPT = 200  # lines
_PROMPT = re.compile(r"^>>> ?$")
_BOOT_LOOP = re.compile(r"invalid header: 0x|flash read err|No bootable app")
_DOWNLOAD = re.compile(r"waiting for download", re.IGNORECASE)


@dataclass
class Heard:
    """What was heard of a device within the time."""

    lines: list[str] = field(default_factory=list)
    anything: bool = False
    speaks: bool = False  # its kernel runs, but nobody answered yet
    up: bool = False
    prompt: bool = False
    host: str = ""
    port: int = 0
    trouble: str = ""

    def line(self, text: str) -> None:
        """Takes in one line of the console."""
        text = text.rpartition("\x04>")[2]  # what the raw REPL says when it ends
        self.lines = [*self.lines[1 - _KEPT :], text]
        if _BOOT_LOOP.search(text):
            self.trouble = f"it finds no firmware in its flash ('{text}')"
        elif _DOWNLOAD.search(text):
            self.trouble = "it is in download mode: let go of BOOT, then press EN (RST)"
        elif _FAILED.match(text):
            self.trouble = "its start failed; the console shows why"
        if _PROMPT.match(text):
            self.prompt = True
        if _SPEAKS.match(text) and "Traceback" not in text:
            self.speaks = True
        if _UP.match(text):
            self.up = True
            self.trouble = ""
        found = _ADDRESS.search(text)
        if found and found.group(1) not in ("0.0.0.0", "127.0.0.1") and self.up:
            self.host, self.port = found.group(1), int(found.group(2) or 0)


def wait(
    port: str,
    known: config.Known,
    *,
    wifi: bool,
    seconds: float,
    say: Callable[[str], None],
    renewed: bool = False,
) -> Heard:
    """Waits until the device is up (and in the network, with `wifi`), at most `seconds`. When its
    library was `renewed` it must answer: what is heard may be the last words of the old one."""
    heard = Heard()
    beacon: list[discover.Found] = []
    if wifi:
        threading.Thread(
            target=_listen, args=(known.id, seconds, beacon), name="beacon", daemon=True
        ).start()
    started = time.monotonic()
    asked = reset = spoken = 0.0
    console = _Console(port)
    try:
        while (passed := time.monotonic() - started) < seconds:
            for text in console.lines():
                heard.anything = True
                heard.line(text)
            if beacon:
                heard.up, heard.host, heard.port = True, beacon[0].host, beacon[0].port
            if heard.up and (heard.host or not wifi):
                break
            if not heard.anything and passed > _RESET_S and not reset:
                reset = passed
                console.reset()
            if not heard.anything and passed > _SILENT_S and not spoken:
                spoken = passed
                say(f"nothing on {port} yet: press EN (RST) on the board")
            if passed - asked > _NUDGE_S:
                asked = passed
                _ask(console, known, heard, wifi)
    finally:
        console.close()
    if heard.speaks and not (heard.trouble or heard.prompt or renewed):
        heard.up = True
    return heard


def _ask(console: _Console, known: config.Known, heard: Heard, wifi: bool) -> None:
    """Begins a session over the cable; without Kodkod there, asks for a prompt."""
    from kodkod.errors import KodkodError

    from kod.link import connect_console

    if not console.is_open:
        return
    stream = console.stream()
    try:
        connection = connect_console(stream, "console", stream.take_text, int(_ASK_S * 1000))
    except (KodkodError, OSError):
        console.write(b"\r")
        return
    try:
        if connection.hello.get("id") == known.id:
            heard.up = heard.anything = True
            heard.host, heard.port = _address(connection) if wifi else "", known.port
    except (KodkodError, OSError):
        pass  # it is up, and says where it is another time
    finally:
        connection.close()


def _address(connection: Connection) -> str:
    """Where the device is in its network; empty while it is in none."""
    limit = int(_ASK_S * 1000)
    network = connection.open("kodkod/network", timeout_ms=limit).call("info", [], limit)
    return str(network["address"]) if network["up"] else ""


def _listen(device_id: str, seconds: float, found: list[discover.Found]) -> None:
    try:
        for device in discover.scan(seconds, until=lambda one: one.id == device_id):
            if device.id == device_id:
                found.append(device)
    except OSError:
        pass  # a computer without a network still has the console


class _Console:
    """The console's lines; opens the port again when it goes away."""

    def __init__(self, port: str) -> None:
        self._port = port
        self._serial: ports.Serial | None = None
        self._rest = b""
        self.missed: list[str] = []  # lines that came while a link was tried

    @property
    def is_open(self) -> bool:
        return self._serial is not None

    def stream(self) -> _Stream:
        """The line as a link wants it; a link that ends leaves it open."""
        assert self._serial is not None
        return _Stream(self._serial, self)

    def lines(self) -> list[str]:
        """The lines that came within a fifth of a second; a prompt counts as one."""
        before, self.missed = self.missed, []
        try:
            if self._serial is None:
                self._serial = ports.open_console(self._port)
            data = self._serial.read(max(1, min(self._serial.in_waiting, 4096)))
        except (UserError, OSError):
            self.close()
            time.sleep(_REOPEN_S)
            return before
        return before + self.split(data)

    def split(self, data: bytes) -> list[str]:
        """The whole lines in what was read up to now."""
        *whole, self._rest = re.split(rb"\r?\n", self._rest + data)
        if self._rest == b">>> ":
            whole.append(self._rest)
            self._rest = b""
        texts = (text.decode("utf-8", "replace").rstrip() for text in whole)
        return [text for text in texts if text]

    def write(self, data: bytes) -> None:
        if self._serial is not None:
            try:
                self._serial.write(data)
            except OSError:
                self.close()

    def reset(self) -> None:
        """Pulses EN by the RTS line, as esptool does, with the port open to hear the boot."""
        if self._serial is not None:
            try:
                self._serial.dtr = False
                self._serial.rts = True
                time.sleep(_PULSE_S)
                self._serial.rts = False
            except OSError:
                pass  # this port has no such lines

    def close(self) -> None:
        if self._serial is not None:
            with contextlib.suppress(OSError):
                self._serial.close()
            self._serial = None


class _Stream:
    """The console lent to a link; what is no frame is kept for whoever reads lines."""

    def __init__(self, line: ports.Serial, console: _Console) -> None:
        self._line, self._console = line, console

    def read(self) -> bytes:
        return bytes(self._line.read(max(1, self._line.in_waiting)))

    def write(self, data: bytes) -> None:
        self._line.write(data)

    def close(self) -> None:
        pass

    def take_text(self, data: bytes) -> None:
        self._console.missed.extend(self._console.split(data))
