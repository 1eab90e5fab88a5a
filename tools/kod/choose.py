"""Which device is meant: by -d, by the project, the last used, or the only one there is."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, replace
from pathlib import Path

from kod import config, discover, person, simulated
from kod.errors import BadInput, NotAllowed, NotThere, Unreachable, UserError

DEFAULT_PORT = 9190
SCAN_S = 1.5  # seconds; a device repeats its beacon and answers a question at once
_LABEL = 63  # letters between two dots of a host's name: RFC 1035
_ADDRESS = re.compile(r"(\d+\.\d+\.\d+\.\d+|\[[0-9a-fA-F:]+\]|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*)")


@dataclass(frozen=True)
class Target:
    """A device to connect to: over TCP with its key, or at a serial port, which needs none."""

    known: config.Known
    console: str = ""

    @property
    def label(self) -> str:
        return self.known.name or self.console or self.known.address

    @property
    def cable(self) -> str:
        """The port over which it is reached; "" for the network."""
        return self.console or (self.known.console if not self.known.host else "")


def targets(specs: list[str], every: bool = False) -> list[Target]:
    """The devices of several -d, of --all, or the default one."""
    if every:
        return _all(specs)
    if not specs:
        specs = _of_project()
    if not specs:
        return [_default()]
    found = []
    for spec in specs:
        one = target(spec)
        if one not in found:  # named twice, it is meant once
            found.append(one)
    return found


def _all(specs: list[str]) -> list[Target]:
    if specs:
        raise BadInput("--all and -d exclude each other")
    found = [Target(known) for known in config.devices() if _may_be_there(known)]
    if not found:
        raise NotThere(_none())
    return found


def labels(chosen: list[Target]) -> list[str]:
    """What to call each of several: its name, with the id where that alone tells them apart."""
    names = [one.label for one in chosen]
    return [
        name if names.count(name) == 1 else f"{name} ({one.known.id or one.known.address})"
        for name, one in zip(names, chosen, strict=True)
    ]


def target(spec: str) -> Target:
    """The device that one -d names."""
    if spec == "host":
        raise BadInput("this works on a device; 'host' is for kod run and kod watch")
    if is_console(spec):
        return Target(config.Known(id="", name=""), console=spec)
    known = config.devices()
    if spec == "sim" and not any(one.name == spec for one in known):  # one may be called so
        return Target(_simulated())
    exact = [one for one in known if one.id == spec.lower()]
    named = exact or [one for one in known if one.name == spec]
    if not named and re.fullmatch(r"[0-9a-fA-F]{4,}", spec):
        named = [one for one in known if one.id.startswith(spec.lower())]
    if len(named) == 1:
        return Target(named[0])
    if named:
        return Target(_one_of(named, f"{len(named)} devices are called '{spec}'"))
    if place := address(spec):
        return Target(_at(*place))
    return Target(_unknown_name(spec))


def is_console(spec: str) -> bool:
    """Whether `spec` is a serial port or one of pyserial's URLs."""
    return "://" in spec or spec.startswith("/dev/") or re.fullmatch(r"COM\d+", spec) is not None


def _of_project() -> list[str]:
    found = config.project()
    device = found[1].get("device") if found else None
    if device is None:
        return []
    specs = [device] if isinstance(device, str) else device
    if not isinstance(specs, list) or not all(isinstance(spec, str) for spec in specs):
        raise BadInput("kodkod.toml: device is a name, or a list of names")
    return specs


def _default() -> Target:
    last = config.last_used()
    known = config.by_id(last) if last else None
    if known:
        return Target(known)
    there = [one for one in config.devices() if _may_be_there(one)]
    if not there:
        return _first_time()
    return Target(_one_of(there, f"{len(there)} devices are known"))


def _first_time() -> Target:
    heard = discover.scan(SCAN_S, until=lambda _: False)
    if not heard:
        raise NotThere(_none())
    names = ", ".join(f"'{one.name}' at {one.host}" for one in heard)
    raise NotAllowed(f"no key is known here for {names}: kod flash, or kod setup over the cable")


def _none() -> str:
    if config.devices():
        return (
            "of the devices known here, all simulated, none runs; kod simulate --name starts one"
        )
    return (
        "no device is known here and none was heard; kod simulate starts one on this computer, "
        "kod flash makes one of a board"
    )


def _one_of(choices: list[config.Known], why: str) -> config.Known:
    """The only one, or the one that a person picks; never a guess."""
    if len(choices) == 1:
        return choices[0]
    shown = [f"{one.name} ({one.id}, {one.address})" for one in choices]
    if not person.may_ask():
        alike = len({one.name for one in choices}) < len(choices)
        how = "-d ID" if alike else "-d NAME or -d ID"
        raise NotThere(f"{why}: {', '.join(shown)}; choose with {how}")
    one = person.pick(f"{why}; which one?", choices, shown)
    if one is None:
        raise NotThere("none was chosen")
    return one


def _may_be_there(known: config.Known) -> bool:
    return not known.is_simulated or simulated.running(known.folder) is not None


def _simulated() -> config.Known:
    running = [one for one in config.devices() if one.is_simulated and _may_be_there(one)]
    if not running:
        raise NotThere("no simulated device runs; kod simulate starts one")
    return _one_of(running, f"{len(running)} simulated devices run")


def address(spec: str) -> tuple[str, int] | None:
    """Host and port of `HOST`, `HOST:PORT` or `[V6]:PORT`; None when it is a name."""
    host, colon, port = spec.rpartition(":")
    if not colon or "]" in port:
        host, port = spec, str(DEFAULT_PORT)
    if not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        return None
    if not _ADDRESS.fullmatch(host) or max(map(len, host.split("."))) > _LABEL:
        return None
    is_host = colon or "." in host or host == "localhost"
    return (host.strip("[]"), int(port)) if is_host else None


def _at(host: str, port: int) -> config.Known:
    """The device at an address: a known one, or one that says there who it is."""
    hosts = {host, _resolved(host)}
    there = [one for one in config.devices() if one.host in hosts and one.port == port]
    there = [one for one in there if _may_be_there(one)] or there
    if len(there) == 1:
        return there[0]
    heard = discover.probe(host)
    known = config.by_id(heard.id) if heard else None
    if known:
        return replace(known, host=host, port=port)
    if heard is None and not simulated.answers(host, port):
        raise NotThere(f"nothing answers at {host}:{port}")
    if heard is None and there:
        return _one_of(there, f"{len(there)} devices have been at {host}:{port}")
    raise NotAllowed(
        f"no key is known here for the device at {host}:{port}; "
        "kod devices add ADDRESS --key KEY tells it"
    )


def _resolved(host: str) -> str:
    try:
        return socket.gethostbyname(host)
    except (OSError, UnicodeError):
        return host


def _unknown_name(name: str) -> config.Known:
    # Others may bear that name, too: the one whose key is known here is meant.
    known = {one.id: one for one in config.devices()}
    heard = discover.scan(SCAN_S, lambda one: one.name == name and one.id in known)
    match = [one for one in heard if name in (one.name, one.id)]
    if not match:
        names = ", ".join(sorted({one.name for one in known.values()})) or "none"
        raise NotThere(f"no device '{name}' (known here: {names}); kod scan looks for more")
    for one in match:
        if one.id in known:
            return replace(known[one.id], name=name, host=one.host, port=one.port)
    raise NotAllowed(
        f"'{name}' is at {match[0].host}, but its key is not known here; "
        "kod devices add ADDRESS --key KEY tells it"
    )


def find_again(known: config.Known) -> config.Known | None:
    """The device at its new address, when it is not at the one that was remembered."""
    if known.is_simulated or not known.id:
        return None
    heard = discover.scan(SCAN_S, until=lambda one: one.id == known.id)
    match = next((one for one in heard if one.id == known.id), None)
    return replace(known, host=match.host, port=match.port) if match else None


def not_there(known: config.Known) -> UserError:
    """Why a known device cannot be reached."""
    if known.is_simulated and simulated.running(known.folder) is None:
        return NotThere(
            f"simulated device '{known.name}' does not run; "
            f"kod simulate --name {known.name} starts it"
            if Path(known.folder) == simulated.default_folder(known.name)
            else f"simulated device '{known.name}' does not run; "
            f"kod simulate --folder {known.folder} starts it"
        )
    if known.is_simulated:
        return Unreachable(f"simulated device '{known.name}' runs but does not answer")
    if not known.id:  # one that is being added
        return NotThere(f"nothing answers at {known.address}; is it on, and in this network?")
    return NotThere(
        f"device '{known.name}' does not answer at {known.address}, and no beacon of it was "
        "heard; is it on, and in this network?"
    )
