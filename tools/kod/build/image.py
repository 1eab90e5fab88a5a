"""An app image: a ROMFS file whose first file, app.json, says what the others are.

The bounds are those of the device (lib/kodkod/storage/image.py), so that it refuses nothing
that was built here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kod import __version__, reading
from kod.mpremote_api import romfs_write

from .errors import BuildError

MAX_ENTRIES = 64  # files, app.json and directories
MAX_NAME = 64
MAX_DEPTH = 4
MAX_MANIFEST = 12288
MANIFEST = "app.json"
_FORMAT = 1
_MAGIC = b"\xd2\xcd\x31"
_VERBATIM = 2
_DIRECTORY = 4
_FILE = 5


@dataclass
class Image:
    """What is sent to a device. The same sources give the same `id` on every machine."""

    id: str  # SHA-256 of `data`, hex
    data: bytes
    manifest: dict[str, Any]  # app.json
    files: dict[str, bytes]  # all others, by their names on the device
    warnings: list[str] = field(default_factory=list)  # one line each, with file:line
    sources: tuple[Path, ...] = ()  # every file of this computer that it was made of


def make_image(
    entry: str,
    files: Mapping[str, bytes],
    *,
    mpy: Sequence[int] | None,
    script: bool = False,
    permissions: Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Image:
    """Puts files together; `entry` is the module that the device starts. A `script` has no main
    that is to be called after its body."""
    for name in files:
        check_name(name)
    entries = len(files) + 1 + len({folder for name in files for folder in _folders(name)})
    if entries > MAX_ENTRIES:
        raise BuildError(
            f"the app has {entries} files and folders with its {MANIFEST}; "
            f"a device takes {MAX_ENTRIES}"
        )
    ordered = {name: files[name] for name in sorted(files)}
    manifest = {
        "format": _FORMAT,
        "entry": entry,
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in ordered.items()},
        "mpy": None if mpy is None else list(mpy),
        "kodkod": __version__,
        "permissions": None if permissions is None else sorted(set(permissions)),
        "settings": dict(settings or {}),
    }
    if script:
        manifest["script"] = True
    try:
        head = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
    except TypeError as error:
        raise BuildError(f"[settings] of kodkod.toml: {error}") from None
    if len(head) > MAX_MANIFEST:
        raise BuildError(f"{MANIFEST} would be {len(head)} bytes; use fewer files or settings")
    data = romfs_write({MANIFEST: head, **ordered})
    return Image(hashlib.sha256(data).hexdigest(), data, manifest, ordered)


def _folders(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def check_name(name: str) -> None:
    """Refuses what a device refuses as a file's name."""
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise BuildError(f"{name!r} is no file name inside an app")
    if any(not " " <= char < "\x7f" or char == "\\" for char in name):
        raise BuildError(f"{name!r}: a device takes only ASCII letters, digits and signs in names")
    if any(len(part) > MAX_NAME for part in parts):
        raise BuildError(f"{name!r} is longer than {MAX_NAME} characters")
    if len(parts) - 1 > MAX_DEPTH:
        raise BuildError(f"{name!r} lies deeper than {MAX_DEPTH} folders")
    if name == MANIFEST:
        raise BuildError(f"{MANIFEST} is the name of the image's own list; rename the file")


def read_image(data: bytes, name: str = "file") -> Image:
    """The image in `data`; BuildError, with `name`, when it is none or is damaged."""
    try:
        files = dict(_records(data))
        return _checked(data, files)
    except _Wrong as error:
        raise BuildError(f"{name} is no app image: {error}") from None
    except BuildError as error:
        raise BuildError(f"{name} is no app image: {error}") from None


class _Wrong(Exception):
    """What is wrong with an image that is read."""


def _checked(data: bytes, files: dict[str, bytes]) -> Image:
    if next(iter(files), None) != MANIFEST:
        raise _Wrong(f"{MANIFEST} is not its first file")
    head = files.pop(MANIFEST)
    try:
        manifest = reading.from_json(head)
    except ValueError:
        raise _Wrong(f"{MANIFEST} is no JSON") from None
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        raise _Wrong(f"{MANIFEST} is not of format {_FORMAT}")
    hashes = manifest.get("files")
    if not isinstance(hashes, dict) or set(hashes) != set(files):
        raise _Wrong(f"its files are not those that {MANIFEST} lists")
    for name, content in files.items():
        check_name(name)
        if hashes[name] != hashlib.sha256(content).hexdigest():
            raise _Wrong(f"{name} is damaged")
    entry = manifest.get("entry")
    if not isinstance(entry, str) or not {f"{entry}.mpy", f"{entry}.py"} & set(files):
        raise _Wrong(f"its entry {entry!r} is not in it")
    mpy = manifest.get("mpy")
    if mpy is not None and not (isinstance(mpy, list) and mpy and isinstance(mpy[0], int)):
        raise _Wrong(f"{MANIFEST} says no .mpy version")
    return Image(hashlib.sha256(data).hexdigest(), data, manifest, files)


def _records(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The files of a ROMFS image, in its order."""
    if data[:3] != _MAGIC:
        raise _Wrong("it does not begin as one")
    size, at = _number(data, 3, len(data))
    if at + size != len(data):
        raise _Wrong(f"it says {at + size} bytes and has {len(data)}")
    seen: set[str] = set()
    for path, content in _directory(data, at, len(data), ""):
        if path in seen:
            raise _Wrong(f"{path} is in it twice")
        seen.add(path)
        yield path, content


def _directory(data: bytes, at: int, end: int, prefix: str) -> Iterator[tuple[str, bytes]]:
    if prefix.count("/") > MAX_DEPTH:
        raise _Wrong(f"folders deeper than {MAX_DEPTH}")
    while at < end:
        kind, start, after = _record(data, at, end)
        if kind not in (_DIRECTORY, _FILE):
            raise _Wrong(f"unknown record at byte {at}")
        length, start = _number(data, start, after)
        path = prefix + data[start : start + length].decode("latin-1")
        start += length
        if kind == _DIRECTORY:
            yield from _directory(data, start, after, path + "/")
        else:
            kind, start, last = _record(data, start, after)
            if kind != _VERBATIM or last != after:
                raise _Wrong(f"{path} has wrong sizes")
            yield path, data[start:last]
        at = after


def _record(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Kind, where the content begins, where it ends."""
    kind, at = _number(data, at, end)
    size, at = _number(data, at, end)
    if at + size > end:
        raise _Wrong(f"it is cut off at byte {at}")
    return kind, at, at + size


def _number(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = 0
    while at < end:
        byte = data[at]
        at += 1
        value = value << 7 | byte & 127
        if byte < 128:
            return value, at
        if value > len(data):
            break
    raise _Wrong(f"wrong number at byte {at}")


def is_mpy(data: bytes) -> bool:
    return len(data) > 4 and data[:1] == b"M"


def check_mpy(image: Image, device_mpy: int | Sequence[int] | None) -> None:
    """Raises Incompatible when the device cannot load the image's compiled files.

    `device_mpy` is (version, sub-version), or the number `sys.implementation._mpy`, or None
    when the device loads no .mpy at all.
    """
    from kodkod.errors import Incompatible

    if image.manifest["mpy"] is None:
        return
    if device_mpy is None:
        raise Incompatible("the device loads no .mpy files; build with --source")
    arch = None
    if isinstance(device_mpy, int):
        arch = device_mpy >> 10 & 0xF
        device_mpy = (device_mpy & 0xFF, device_mpy >> 8 & 3)
    version, sub = [*device_mpy, 0][:2]
    for name, data in image.files.items():
        if not name.endswith(".mpy"):
            continue
        if not is_mpy(data):
            raise Incompatible(f"{name} is no .mpy file")
        # Byte 1 is the version; byte 2 has the sub-version and, for native code, the chip.
        native = data[2] >> 2 & 0xF
        if data[1] != version or (native and data[2] & 3 != sub):
            raise Incompatible(
                f"{name} is .mpy version {data[1]}.{data[2] & 3}, the device loads "
                f"{version}.{sub}: install a kod that fits its MicroPython, or use --source"
            )
        if native and arch is not None and native != arch:
            raise Incompatible(f"{name} has native code for another chip; build it for this one")
