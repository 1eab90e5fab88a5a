"""The folder that is a simulated device's flash: its settings, and the library on it."""

from __future__ import annotations

import errno
import re
import secrets
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kod import config, library
from kod.errors import BadInput, UserError

HOST = "127.0.0.1"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
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
