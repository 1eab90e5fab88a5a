"""The files that a program is made of, looked at again and again until one is saved.

Looked at by their times and numbers, since no way to be told of changes works everywhere. The
folders are looked at too: a file that a build did not find may be there now.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kod.build import Image

    Look = tuple[int, ...] | None

PAUSE_S = 0.1
_BACK_S = 0.5  # in which a file that is saved by removing and writing it is back
_COARSE_NS = 50_000_000  # a file's time may lie so far behind the clock


class Files:
    """What the last build read, as it was then."""

    def __init__(self, program: Path, *more: Path) -> None:
        self._always = [Path(os.path.abspath(path)) for path in (program, *more)]
        self._seen: dict[Path, Look] = {}

    def build(self, build: Callable[[], Image]) -> Image:
        """The image that `build` makes; a save during it counts as one after it."""
        before = {path: _look(path) for path in self._seen}
        began = time.time_ns() - _COARSE_NS
        read: Iterable[Path] = ()
        try:
            image = build()
            read = image.sources
        except Exception as error:
            read = getattr(error, "sources", ())
            raise
        finally:
            files = {*self._always, *read}
            self._seen = {
                path: before[path] if path in before else _settled(path, began)
                for path in files | {path.parent for path in files}
            }
        return image

    def changed(self) -> bool:
        """Whether one of them is another now, or gone for good."""
        changed = [path for path, seen in self._seen.items() if _look(path) != seen]
        deadline = time.monotonic() + _BACK_S
        while any(self._seen[path] and not _look(path) for path in changed):
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)
        return bool(changed)


def _look(path: Path) -> Look:
    try:
        found = path.stat()
    except OSError:
        return None
    size = 0 if stat.S_ISDIR(found.st_mode) else found.st_size
    return found.st_mtime_ns, found.st_ino, size


def _settled(path: Path, began: int) -> Look:
    """How a file looks that was read for the first time; () when it may have been saved since."""
    look = _look(path)
    return () if look and look[0] > began else look
