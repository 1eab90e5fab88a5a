"""What kod remembers: known devices with their keys, the last used one, the project's settings."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from kod.errors import BadInput, UserError


def home() -> Path:
    """The folder for everything remembered: $KOD_HOME, else kod in the user's configuration."""
    named = os.environ.get("KOD_HOME")
    if named:
        return Path(named).expanduser().absolute()
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "kod"


def cache(kind: str) -> Path:
    """A folder for what can be made again at any time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "kod" / kind


def keep(path: Path, data: bytes) -> None:
    """Writes a file of a cache, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise


def write_private(path: Path, value: object) -> None:
    """Writes JSON that only its owner may read, whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")  # mkstemp gives mode 0600
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(value, file, indent=1, sort_keys=True)
            file.write("\n")
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def check_writable() -> None:
    """UserError when nothing can be remembered: a key that is made now would be lost."""
    try:
        home().mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home()) as file:
            file.write(bytes(4096))
            file.flush()
    except OSError as error:
        raise UserError(
            f"{home()}, where keys of devices are kept, cannot be written: {error.strerror}"
        ) from None


def read(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; an empty one when there is no such file."""
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}; correct or remove it") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} holds no JSON object; correct or remove it")
    return value


@dataclass
class Known:
    """A device that this computer knows: where it was last, and the key that it accepts."""

    id: str
    name: str
    key: str = ""
    host: str = ""
    port: int = 0
    console: str = ""
    chip: str = ""
    folder: str = ""

    @property
    def is_simulated(self) -> bool:
        return bool(self.folder)

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}" if self.host else self.console


def devices() -> list[Known]:
    """Every known device, by name."""
    names = {field.name for field in fields(Known)}
    found = []
    for path in (home() / "devices").glob("*.json"):
        record = read(path)
        if not isinstance(record.get("id"), str) or not isinstance(record.get("name"), str):
            raise UserError(f"{path} is no record of a device; remove it")
        found.append(Known(**{key: value for key, value in record.items() if key in names}))
    return sorted(found, key=lambda known: (known.name, known.id))


def by_id(device_id: str) -> Known | None:
    return next((known for known in devices() if known.id == device_id), None)


def remember(known: Known) -> None:
    write_private(home() / "devices" / f"{known.id}.json", asdict(known))


def forget(known: Known) -> None:
    (home() / "devices" / f"{known.id}.json").unlink(missing_ok=True)


def last_used() -> str | None:
    """The id of the device that was used last."""
    value = read(home() / "state.json").get("last_used")
    return value if isinstance(value, str) else None


def set_last_used(device_id: str) -> None:
    path = home() / "state.json"
    state = read(path)
    if state.get("last_used") != device_id:
        write_private(path, {**state, "last_used": device_id})


def project(start: Path | None = None) -> tuple[Path, dict[str, Any]] | None:
    """The folder and content of the nearest `kodkod.toml`, from here upwards."""
    here = (start or Path.cwd()).absolute()
    for folder in (here, *here.parents):
        path = folder / "kodkod.toml"
        if path.is_file():
            return folder, _toml(path)
    return None


def _toml(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: {error}") from None
