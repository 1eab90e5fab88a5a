"""The folder that is a simulated device's flash: its settings, and the library on it."""

from __future__ import annotations

import contextlib
import errno
import re
import secrets
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kod import config, library, reading, simulated
from kod.errors import BadInput, UserError

HOST = "127.0.0.1"

_TEXT = re.compile(r"[\w-]+")
_BOOT_MARK = ".library"


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


def check_name(name: str) -> None:
    """BadInput for what cannot name a simulated device; "sim" can, it is the name by default."""
    config.check_name(name, words=("host",))


def prepare(folder: Path, name: str | None, port: int) -> Flash:
    """Makes the flash in `folder` when it is new, and brings its library up to date."""
    if name is not None:
        check_name(name)
    folder = reading.expanded(folder)
    with _alone():
        if run := simulated.running(folder):
            simulated.refuse_second(run)
        return _prepared(folder, name, port)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Two that make one flash at the same time would each give it a key."""
    import fcntl

    config.home().mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(config.home() / "simulate.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _prepared(folder: Path, name: str | None, port: int) -> Flash:
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is no folder; name a new or an empty one")
    mends = f"correct it, or remove the folder {folder} with all that is on the device"
    settings = config.read(folder / "kodkod.json", mends)
    if not settings:
        if folder.exists() and any(folder.iterdir()):
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
    _check(settings, f"{folder / 'kodkod.json'} lacks a name, id, key or port; {mends}")
    flash = Flash(folder, settings)
    settings["name"] = name or settings["name"]
    settings["port"] = _choose_port(port, settings.get("port", 0))
    flash.save()
    _write_library(folder)
    return flash


def _check(settings: dict[str, Any], wrong: str) -> None:
    """UserError, `wrong`, for settings that no device could run with."""
    forms = {"name": _TEXT, "id": _TEXT, "key": config.KEY}
    texts = {key: settings.get(key) for key in forms}
    fit = all(isinstance(text, str) and forms[key].fullmatch(text) for key, text in texts.items())
    if not fit or not config.is_port(settings.get("port", 0)):
        raise UserError(wrong)


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
