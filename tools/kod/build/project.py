"""The project a program belongs to: the folder of the nearest kodkod.toml, and what that says."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kod import config

from .errors import BuildError

INDEX = "https://micropython.org/pi/v2"
_SETTINGS: dict[str, type] = {
    "restart": str,
    "interval_ms": int,
    "timeout_ms": int,
    "after": list,
    "defines": dict,
    "probation_ms": int,
    "limit_ms": int,
    "args": list,
}
_RESTART = ("never", "on-failure", "always")


@dataclass(frozen=True)
class Project:
    """`file` is its kodkod.toml, or None when there is none."""

    root: Path
    file: Path | None = None
    packages: tuple[str, ...] = ()
    index: str = INDEX
    permissions: tuple[str, ...] | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def lock(self) -> Path:
        return self.root / "kodkod.lock"


def find(program: Path, root: Path | None = None) -> Project:
    """The project of `program`, or the one in `root`."""
    if root is None:
        found = config.project(program.parent)
    else:
        found = config.project(root) if (root / "kodkod.toml").is_file() else None
    if found is None:
        return Project((root or program.parent).absolute(), index=_index({}))
    folder, said = found
    file = folder / "kodkod.toml"
    permissions = None
    if "permissions" in said:
        table = _table(said, "permissions", file)
        permissions = _strings(table, "services", file) if "services" in table else None
    settings = _settings(_table(said, "settings", file), file)
    packages = _strings(said, "packages", file)
    return Project(folder, file, packages, _index(said), permissions, settings)


def _index(said: dict[str, Any]) -> str:
    index = os.environ.get("KOD_MIP_INDEX") or said.get("index") or INDEX
    return str(index).rstrip("/")


def _table(said: dict[str, Any], key: str, file: Path) -> dict[str, Any]:
    value = said.get(key, {})
    if not isinstance(value, dict):
        raise BuildError(f"{key} is a table: write [{key}]", file=str(file))
    return value


def _strings(said: dict[str, Any], key: str, file: Path) -> tuple[str, ...]:
    value = said.get(key, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise BuildError(f'{key} is a list of strings: {key} = ["..."]', file=str(file))
    return tuple(value)


def _settings(said: dict[str, Any], file: Path) -> dict[str, Any]:
    for key, value in said.items():
        kind = _SETTINGS.get(key)
        if kind is None:
            known = ", ".join(_SETTINGS)
            raise BuildError(f"[settings] knows no {key!r}, only {known}", file=str(file))
        if not isinstance(value, kind) or isinstance(value, bool):
            raise BuildError(f"[settings] {key} is a {kind.__name__}", file=str(file))
        if isinstance(value, int) and value < 0:
            raise BuildError(f"[settings] {key} is a time, 0 or more", file=str(file))
    if said.get("restart", "never") not in _RESTART:
        raise BuildError(f"[settings] restart is one of {', '.join(_RESTART)}", file=str(file))
    if not all(isinstance(name, str) for name in said.get("after", [])):
        raise BuildError("[settings] after is a list of names of apps", file=str(file))
    try:
        json.dumps(said, allow_nan=False)
    except (TypeError, ValueError):
        why = "[settings] holds a date, nan or inf, which no image can: write it as a string"
        raise BuildError(why, file=str(file)) from None
    return said
