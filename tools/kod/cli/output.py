"""What people and machines read: results on stdout, chatter and progress on stderr."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import TextIO

_COLUMNS = 80  # of a terminal that does not say
_COLOURS = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "magenta": 35, "cyan": 36, "dim": 2}


class Output:
    """Where a verb says things."""

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json
        self._progress_shown = False
        self._lock = threading.Lock()

    def note(self, text: str) -> None:
        """Chatter: what happens, for the person who waits."""
        self._say(text, sys.stderr)

    def line(self, text: str) -> None:
        """A line of the result."""
        self._say(text, sys.stdout)

    def json(self, value: object) -> None:
        self._say(json.dumps(_plain(value), sort_keys=True), sys.stdout)

    def table(
        self,
        head: Sequence[str],
        rows: Sequence[Sequence[object]],
        colours: Mapping[int, Mapping[str, str]] | None = None,
    ) -> None:
        """Rows in columns under a head; numbers to the right. `colours` are by column, by cell."""
        shown = [[printable(str(cell), sys.stdout) for cell in row] for row in rows]
        cells = [list(head), *shown]
        widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
        numeric = [
            bool(rows) and all(_is_number(row[column]) for row in rows)
            for column in range(len(head))
        ]
        for index, row in enumerate(cells):
            padded = [
                cell.rjust(width) if right else cell.ljust(width)
                for cell, width, right in zip(row, widths, numeric, strict=True)
            ]
            for column, of_cell in (colours or {}).items():
                if index and row[column] in of_cell:
                    padded[column] = paint(padded[column], of_cell[row[column]])
            text = "  ".join(padded).rstrip()
            self.line(text if index else paint(text, "dim"))

    def progress(self, text: str, done: int, total: int) -> None:
        """One line that is written over; only on a terminal."""
        if not sys.stderr.isatty():
            return
        share = done / total if total else 1.0
        bar = "#" * int(share * 24)
        # A line that is too long would go on in the next, and could not be written over.
        room = max(1, _columns(sys.stderr) - 1)
        end = f" [{bar:<24}] {share:4.0%}"[-room:]
        sys.stderr.write(f"\r{text[: room - len(end)]}{end}")
        sys.stderr.flush()
        self._progress_shown = True

    def _say(self, text: str, stream: TextIO) -> None:
        # In one piece: a program that runs and what is said of it come from two threads.
        with self._lock:
            self.end_progress()
            stream.write(text + "\n")
            stream.flush()

    def end_progress(self) -> None:
        if self._progress_shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._progress_shown = False


def _columns(terminal: TextIO) -> int:
    with contextlib.suppress(OSError, ValueError):
        return os.get_terminal_size(terminal.fileno()).columns or _COLUMNS
    return _COLUMNS


def _is_number(cell: object) -> bool:
    """A number, a size, or the dash of one that is not known."""
    return isinstance(cell, int) or bool(re.fullmatch(r"[0-9.]+ [KM]?B|-", str(cell)))


def paint(text: str, colour: str, stream: TextIO | None = None) -> str:
    """`text` in a colour when the stream is a terminal that wants it."""
    stream = stream or sys.stdout
    if not stream.isatty() or "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def printable(text: str, stream: TextIO) -> str:
    """Without what would steer a terminal: what an app says may hold anything."""
    if not stream.isatty():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else f"\\x{ord(c):02x}" for c in text)


def duration(ms: int) -> str:
    """A span of time as people say it: 950 ms, 12 s, 3 min 4 s, 2 h 5 min, 3 d 4 h."""
    if ms < 1000:
        return f"{ms} ms"
    seconds = ms // 1000
    for size, unit, below, part in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if seconds >= size:
            rest = seconds % size // below
            return f"{seconds // size} {unit}" + (f" {rest} {part}" if rest else "")
    return f"{seconds} s"


def size(count: int) -> str:
    """Bytes as people say them."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.1f} KB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"


def _plain(value: object) -> object:
    """What JSON has a word for: bytes as hex, infinities and NaN as text, keys as text."""
    if isinstance(value, Mapping):
        return {_key(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _key(key: object) -> str:
    return key.hex() if isinstance(key, bytes) else str(key)
