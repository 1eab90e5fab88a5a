"""Reading what people wrote: what is wrong with it ends as OSError or ValueError, in each form."""

from __future__ import annotations

import errno
import json
import stat
import sys
from pathlib import Path
from typing import Any

from kod.errors import BadInput


class NestsTooDeep(ValueError):
    """More levels than a text of use has."""


def from_json(text: str | bytes) -> Any:
    """What JSON says; ValueError when it is none."""
    try:
        return json.loads(text)
    except RecursionError:
        raise NestsTooDeep("it nests too deep") from None


def from_toml(text: str) -> dict[str, Any]:
    """What TOML says; ValueError when it is none."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise NestsTooDeep("it nests too deep") from None


def content(path: Path) -> bytes:
    """The bytes of a file; OSError for what is none: a pipe may never end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return path.read_bytes()


def expanded(path: str | Path) -> Path:
    """`path` from the root on; BadInput for a `~` of nobody."""
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError:
        raise BadInput(f"{path}: nobody's home folder is known by that; set HOME") from None
