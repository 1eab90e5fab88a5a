"""From a device that was chosen to a link: by cable or network, also when it has moved."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kod import choose, config, simulated
from kod.errors import NotAllowed

if TYPE_CHECKING:
    from kod.link import Connection

_BOOT_S = 8.0  # from the start of a simulated device to its first answer
_BUSY_S = 5.0
_CABLE_MS = 8000  # some steps of an app


def reach(target: choose.Target) -> tuple[Connection, config.Known]:
    """A connection to a device that was chosen, over the cable or with its key."""
    if target.cable:
        return _over_cable(target.cable, target.known)
    if len(target.known.key) != 32:
        raise NotAllowed(f"no key is known here for '{target.label}'; {_key_of(target.known)}")
    return _dial(target.known)


def _key_of(known: config.Known) -> str:
    """How this computer comes to know the key of a device."""
    if known.is_simulated:
        return f"end it, and kod simulate --folder {known.folder} tells it"
    return "kod setup over its cable learns it, or makes one"


def _dial(known: config.Known) -> tuple[Connection, config.Known]:
    """A connection, and the device with the address where it was found."""
    from kodkod.errors import AuthFailed, Incompatible

    from kod.link import LinkLost

    deadline = time.monotonic() + _BOOT_S
    was_up = False
    while known.host:
        try:
            return _connect(known), known
        except (AuthFailed, Incompatible):  # another has that address now, if it is elsewhere
            again = choose.find_again(known)
            if again is None or again == known:
                raise
            return _connect(again), again
        except LinkLost:
            run = simulated.running(known.folder) if known.is_simulated else None
            if run is None or time.monotonic() > deadline:
                break
            is_up = simulated.answers(run["host"], run["port"])
            if was_up and is_up:
                raise  # it was up at that attempt, and hung up
            was_up = is_up
            known = replace(known, host=run["host"], port=run["port"])
            time.sleep(0.03)  # it boots
    again = choose.find_again(known)
    if again is None:
        raise choose.not_there(known)
    return _connect(again), again


def _over_cable(console: str, known: config.Known) -> tuple[Connection, config.Known]:
    """A connection over a serial port, where having the cable is all that is asked for."""
    from kod import link_serial

    connection = link_serial.connect(console, _CABLE_MS)
    there = config.by_id(str(connection.hello.get("id"))) or known
    return connection, replace(there, console=console)


def _connect(known: config.Known) -> Connection:
    """A device has few links, and other commands give theirs back soon: waits for one."""
    from kodkod.errors import Busy

    from kod.link import connect_tcp

    deadline = time.monotonic() + _BUSY_S
    while True:
        try:
            return connect_tcp(known.host, known.port, bytes.fromhex(known.key))
        except Busy:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def remember(known: config.Known, hello: Mapping[str, Any]) -> config.Known:
    """What the device says of itself, once it has proved the key, is what is kept."""
    now = replace(
        known,
        id=hello.get("id") or known.id,
        name=hello.get("name") or known.name,
        chip=known.chip if known.is_simulated else hello.get("chip") or known.chip,
    )
    if config.by_id(now.id) != now:
        config.remember(now)
    config.set_last_used(now.id)
    return now
