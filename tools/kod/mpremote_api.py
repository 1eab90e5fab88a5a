"""The one place where kod touches mpremote, whose Python interface is not promised to stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def romfs_write(files: Mapping[str, bytes]) -> bytes:
    """One ROMFS image of `files`: relative names with `/`, in the order they are given.

    Files of one folder end up together, where the first of them stands.
    """
    from mpremote.romfs import VfsRomWriter

    tree: dict[str, Any] = {}
    for name, data in files.items():
        *folders, leaf = name.split("/")
        here = tree
        for folder in folders:
            here = here.setdefault(folder, {})
        here[leaf] = data
    writer = VfsRomWriter()
    _write(writer, tree)
    return bytes(writer.finalise())


def _write(writer: Any, tree: dict[str, Any]) -> None:
    for name, value in tree.items():
        if isinstance(value, dict):
            writer.opendir(name)
            _write(writer, value)
            writer.closedir()
        else:
            writer.mkfile(name, value)
