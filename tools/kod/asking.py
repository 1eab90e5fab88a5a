"""A program is built for the device it goes to: what its firmware has is asked once, and kept."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kod.build import Image
    from kod.device import Device

_KIND = "modules"  # of what is cached


def build(device: Device, file: Path, **options: Any) -> Image:
    """The image of a program for `device`; what neither it nor this computer has is refused."""
    from kod.build import BuildError, build_image
    from kod.build.device import AskedDevice

    if not device.firmware:  # its library is too old to tell
        return build_image(file, **options)
    key = hashlib.sha256(device.firmware.encode()).hexdigest()
    known = _read(key)
    before = dict(known)
    modules = AskedDevice(device.name, device.has_modules, known)
    try:
        try:
            return build_image(file, builtins=modules, **options)
        except BuildError:
            if not modules.doubt():
                raise
            return build_image(file, builtins=modules, **options)
    finally:
        if known != before:
            _write(key, known)


def _read(key: str) -> dict[str, bool]:
    from kod import cache

    try:
        known = json.loads(cache.get(_KIND, key) or b"{}")
    except ValueError:
        return {}
    return {name: there is True for name, there in dict(known).items()}


def _write(key: str, known: dict[str, bool]) -> None:
    from kod import cache

    cache.put(_KIND, key, json.dumps(known, sort_keys=True).encode())
