"""What kod remembers: known devices with their keys, the last used one, the project's settings."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Collection
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from kod import reading
from kod.errors import BadInput, UserError

WORDS = ("host", "sim")  # what -d takes for no device's name
KEY = re.compile("[0-9a-fA-F]{32}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


def home() -> Path:
    """The folder for everything remembered: $KOD_HOME, else kod in the user's configuration."""
    named = os.environ.get("KOD_HOME")
    if named:
        return reading.expanded(named)
    return reading.expanded(os.environ.get("XDG_CONFIG_HOME") or "~/.config") / "kod"


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


def check_name(name: object, words: Collection[str] = ()) -> None:
    """BadInput for what cannot name a device, or is one of `words`."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BadInput(f"'{name}' cannot name a device: use up to 32 letters, digits, - and _")
    if name in words:
        raise BadInput(
            f"'{name}' cannot name a device: -d {name} means something else; take another"
        )


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


def read(path: Path, mends: str = "correct or remove it") -> dict[str, Any]:
    """The JSON object in `path`; an empty one when there is no such file. `mends` is what to do
    about a damaged one."""
    try:
        value = reading.from_json(reading.content(path).decode("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {_why(error)}; {mends}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} holds no JSON object; {mends}")
    return value


def _why(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


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
    folder = home() / "devices"
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        names = []
    paths = [folder / name for name in names if name.endswith(".json")]
    records = {path: read(path) for path in paths}
    # What is gone meanwhile was forgotten by another kod.
    found = [_known(path, record) for path, record in records.items() if record or path.exists()]
    return sorted(found, key=lambda known: (known.name, known.id))


def _known(path: Path, record: dict[str, Any]) -> Known:
    """The device that a record tells of, when each value is one that can be used."""
    given = {field.name: record[field.name] for field in fields(Known) if field.name in record}
    known = Known(**{"id": None, "name": None, **given})
    texts = [value for name, value in asdict(known).items() if name != "port"]
    are_texts = all(isinstance(text, str) and "\0" not in text for text in texts)
    if not are_texts or (known.key and not KEY.fullmatch(known.key)):
        raise UserError(f"{path} is no record of a device; remove it")
    if not is_port(known.port):
        raise UserError(f"{path} is no record of a device: its port is wrong; remove it")
    return known


def is_port(value: object) -> bool:
    """Whether it is the number of a TCP port, or 0 for none."""
    return type(value) is int and 0 <= value < 65536


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
    try:
        return reading.from_toml(reading.content(path).decode("utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: {_why(error)}") from None
