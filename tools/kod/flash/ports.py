"""The one module that knows pyserial: finds serial ports, opens a console, explains failures."""

from __future__ import annotations

import errno
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import serial
from serial.tools import list_ports

from kod import config
from kod.errors import BadInput, NotThere, Unreachable, UserError

# USB vendors: Espressif's own USB, and the makers of the bridges on boards
_VENDORS = {
    0x303A: "Espressif USB",
    0x10C4: "CP210x (Silicon Labs)",
    0x1A86: "CH340/CH910x (WCH)",
    0x0403: "FTDI",
    0x067B: "PL2303 (Prolific)",
    0x2341: "Arduino",
    0x2886: "Seeed",
}
_URL = re.compile(r"[a-z][a-z0-9+]*://")
_NO_HOST = re.compile(r"name or service not known|nodename nor servname|getaddrinfo|resolution")
CONSOLE_BAUD = 115200
serial.protocol_handler_packages.insert(0, "kod.flash.urls")
Serial = serial.Serial  # what serial_for_url gives also for a URL, as far as kod uses it


@dataclass(frozen=True)
class Port:
    """A serial port of this computer."""

    device: str
    description: str
    vendor: str
    serial_number: str

    @property
    def is_likely(self) -> bool:
        """Whether a board may be behind it: USB, and not the motherboard's own ports."""
        return bool(self.vendor)


def all_ports() -> list[Port]:
    """Every serial port, those that a board may be behind first."""
    found = []
    for info in list_ports.comports():
        vendor = "" if info.vid is None else _VENDORS.get(info.vid, f"USB {info.vid:04x}")
        found.append(Port(info.device, info.description, vendor, info.serial_number or ""))
    return sorted(found, key=lambda port: (not port.is_likely, port.device))


def likely_ports() -> list[Port]:
    return [port for port in all_ports() if port.is_likely]


def is_url(port: str) -> bool:
    """Whether pyserial opens `port` as a URL (rfc2217://, socket://, loop://)."""
    return bool(_URL.match(port))


def open_console(port: str, timeout: float = 0.2) -> Serial:
    """The console on `port`, with its lines as every terminal program sets them."""
    try:
        # Two programs on one line would each get a part of what the device says.
        alone = None if is_url(port) else True
        return serial.serial_for_url(port, baudrate=CONSOLE_BAUD, timeout=timeout, exclusive=alone)
    except (OSError, ValueError, serial.SerialException) as error:
        raise cannot_open(port, str(error)) from None


def probe(port: str) -> UserError | None:
    """Why `port` cannot be used, or None. It is not opened: opening resets many boards."""
    if is_url(port):
        try:
            parts = urlsplit(port)
            if parts.scheme in ("rfc2217", "socket") and not (parts.hostname and parts.port):
                raise ValueError("invalid url")
            serial.serial_for_url(port, do_not_open=True)
        except ValueError as error:
            return cannot_open(port, f"invalid url: {error}")
        return None
    if sys.platform == "win32":
        return None
    if not os.path.exists(port):
        return cannot_open(port, "[Errno 2] No such file or directory")
    if not os.access(port, os.R_OK | os.W_OK):
        return cannot_open(port, "[Errno 13] Permission denied")
    if not Path(port).is_char_device():
        return cannot_open(port, "no serial port")
    return None


def cannot_open(port: str, reason: str) -> UserError:
    """One line for why `port` cannot be opened, and the step that mends it."""
    number = re.search(r"Errno (\d+)", reason)
    code = int(number.group(1)) if number else 0
    low = reason.lower()
    if code == errno.EACCES or "permission denied" in low:
        return UserError(f"no permission to use {port}; {permission_advice(port)}")
    if code in (errno.EBUSY, errno.EAGAIN) or "busy:" in low or "exclusively lock" in low:
        return UserError(busy_text(port))
    if "access is denied" in low:
        return UserError(busy_text(port))
    if code == errno.ENOENT or "filenotfounderror" in low or "no such file" in low:
        return NotThere(f"no port {port}; {_there()}")
    if code == errno.EISDIR or "inappropriate ioctl" in low or "no serial port" in low:
        return BadInput(f"{port} is no serial port; {_there()}")
    if is_url(port):
        if _NO_HOST.search(low):
            return Unreachable(f"{port} cannot be opened: no such host is found")
        if "unknown protocol" in low or "invalid url" in low or "not known" in low:
            return BadInput(f"{port} is no URL that pyserial knows, like socket://HOST:PORT")
        cause = re.search(r"\[Errno \d+\] ([^)\]:']+)", reason)
        why = cause.group(1).strip() if cause else "no answer"
        return Unreachable(f"{port} cannot be opened: {why}; is the server there running?")
    return UserError(f"{port} cannot be opened: {reason}; {_there()}")


def busy_text(port: str) -> str:
    return f"{port} is in use by another program; close it (a monitor, a REPL, an IDE)"


def permission_advice(port: str) -> str:
    """The command that gives this user the right to use `port`."""
    if not sys.platform.startswith("linux"):
        return "run the command as a user who may"
    group = port_group(port) or "dialout"
    return f"run: sudo usermod -a -G {group} $USER  (then log out and in again)"


def port_group(port: str) -> str | None:
    """The group that may use `port`: dialout on Debian, uucp on Arch."""
    try:
        import grp  # not on Windows
    except ImportError:
        return None
    try:
        return grp.getgrgid(Path(port).stat().st_gid).gr_name
    except (OSError, KeyError):
        return None


def _there() -> str:
    found = [port.device for port in likely_ports()]
    if found:
        return f"there is {', '.join(found)}"
    return "no board is seen: plug it in, with a cable that carries data; kod doctor helps"


def chosen() -> str | None:
    """The port that `kod port set` chose."""
    value = config.read(config.home() / "state.json").get("port")
    return value if isinstance(value, str) else None


def set_chosen(port: str | None) -> None:
    path = config.home() / "state.json"
    state = {key: value for key, value in config.read(path).items() if key != "port"}
    config.write_private(path, {**state, "port": port} if port else state)


def choose(wanted: str | None) -> str:
    """The port to use: the one named, the one chosen before if it is there, the only one.

    Raises NotThere when there is none or a choice; the caller asks when it has a terminal.
    """
    if wanted:
        error = probe(wanted)
        if error:
            raise error
        return wanted
    found = [port.device for port in likely_ports()]
    before = chosen()
    if before and probe(before) is None:
        return before
    if not found:
        raise NotThere(
            "no serial port with a board was found: plug the board in with a cable that carries "
            "data, or give --port; kod doctor says more"
        )
    if len(found) > 1:
        raise NotThere(f"there are several ports ({', '.join(found)}): say which by --port")
    error = probe(found[0])
    if error:
        raise error
    return found[0]
