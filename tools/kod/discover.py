"""Finding devices: what they broadcast, what one answers that is asked, and simulated ones.

Nothing heard here is believed before the handshake of the link.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kod import config, simulated

BEACON_PORT = 9191
PROBE = b"kodkod?"
_VERSION = 1
_MAX_NAME = 64


@dataclass(frozen=True)
class Found:
    """A device that was heard, as it described itself."""

    name: str
    id: str
    chip: str
    version: str
    host: str
    port: int


def parse(data: bytes, host: str) -> Found | None:
    """A beacon's content, or None for anything else that arrives at that port."""
    from kodkod.errors import KodkodError
    from kodkod.message import unpack

    try:
        value = unpack(data)
    except (KodkodError, ValueError, TypeError, IndexError, KeyError):
        return None
    if not isinstance(value, list) or len(value) < 7 or value[:2] != ["kodkod", _VERSION]:
        return None
    name, device_id, chip, version, port = value[2:7]
    texts = (name, device_id, chip, version)
    if not all(isinstance(text, str) and text.isprintable() for text in texts):
        return None
    if max(map(len, texts)) > _MAX_NAME or not isinstance(port, int) or not 0 < port < 65536:
        return None
    return Found(name, device_id, chip, version, host, port)


def scan(seconds: float, until: Callable[[Found], bool] = lambda found: False) -> list[Found]:
    """The devices heard within that time, or up to the one that `until` accepts; one an id."""
    found = {device.id: device for device in simulated_here()}
    if any(until(device) for device in found.values()):
        return list(found.values())
    with _listener() as listener, _speaker() as speaker:
        for device in _heard([listener, speaker], seconds):
            found[device.id] = device
            if until(device):
                break
    return sorted(found.values(), key=lambda device: (device.name, device.id))


def probe(host: str, seconds: float = 1.0) -> Found | None:
    """Asks one address, also beyond the own network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        try:
            asker.connect((host, BEACON_PORT))
            asker.send(PROBE)
        except (OSError, UnicodeError):
            return None
        return next(iter(_heard([asker], seconds)), None)


def simulated_here() -> list[Found]:
    """Those that run on this computer."""
    found = []
    for known in config.devices():
        run = simulated.running(known.folder) if known.is_simulated else None
        if run:
            found.append(
                Found(known.name, known.id, known.chip, "", run["host"], int(run["port"]))
            )
    return found


def _heard(sockets: list[socket.socket], seconds: float) -> Iterator[Found]:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        for ready in select.select(sockets, [], [], left)[0]:
            try:
                data, sender = ready.recvfrom(2048)
            except OSError:  # an earlier probe was refused
                if len(sockets) == 1:
                    return
                continue
            device = parse(data, sender[0])
            if device:
                yield device


def _listener() -> socket.socket:
    """Hears beacons; several programs of this computer may at once."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "SO_REUSEPORT"):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind(("", BEACON_PORT))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            listener.close()
            raise
        listener.bind(("", 0))  # the answers to the question below still arrive
    return listener


def _speaker() -> socket.socket:
    """Asks everybody in the network, so that nobody has to wait for a beacon."""
    speaker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    speaker.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    for address in ("255.255.255.255", "127.255.255.255"):
        with contextlib.suppress(OSError):  # a computer without a network
            speaker.sendto(PROBE, (address, BEACON_PORT))
    return speaker
