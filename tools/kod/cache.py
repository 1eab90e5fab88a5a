"""Files that can be made or fetched again, by name; damaged ones count as absent."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from kod import config

_KEEP = 64  # entries in one of the 256 folders of a kind


def folder(kind: str) -> Path:
    """Where `kind` lies: below $KOD_HOME when that is set, else in the user's cache."""
    return config.home() / "cache" / kind if os.environ.get("KOD_HOME") else config.cache(kind)


def get(kind: str, key: str) -> bytes | None:
    """The data kept under `key` (hex), or None."""
    return read(_path(kind, key))


def put(kind: str, key: str, data: bytes) -> None:
    """Keeps `data`; a cache that cannot be written is no reason to fail."""
    path = _path(kind, key)
    with contextlib.suppress(OSError):
        _make_room(path.parent)
    write(path, data)


def read(path: Path) -> bytes | None:
    """What `write` wrote there, or None when it is not there or damaged."""
    try:
        kept = path.read_bytes()
    except OSError:
        return None
    data = kept[32:]
    return data if hashlib.sha256(data).digest() == kept[:32] else None


def write(path: Path, data: bytes) -> None:
    """Keeps `data` there, if that can be written."""
    with contextlib.suppress(OSError):
        config.keep(path, hashlib.sha256(data).digest() + data)


def _path(kind: str, key: str) -> Path:
    return folder(kind) / key[:2] / key[2:]


def _make_room(place: Path) -> None:
    entries = [(entry.stat().st_mtime, entry.path) for entry in os.scandir(place)]
    if len(entries) >= _KEEP:
        for _, path in sorted(entries)[: _KEEP // 2]:
            Path(path).unlink(missing_ok=True)
