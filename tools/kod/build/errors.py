"""What stops a build: one clear line, and for a syntax error the source line with a caret."""

from __future__ import annotations

from pathlib import Path

from kod.errors import BadInput


class BuildError(BadInput):
    """A program cannot be made into an image; nothing was sent.

    `file`, `line`, `column` (both from 1) and `source` are set when it is about a place in a
    file; `detail` then shows the line and a caret. `sources` are the files that were read, so
    that a watcher knows where the repair may come from.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str | None = None,
        line: int | None = None,
        column: int | None = None,
        source: str | None = None,
    ) -> None:
        place = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        super().__init__(place + message, _caret(source, column))
        self.file = file
        self.line = line
        self.column = column
        self.source = source
        self.sources: tuple[Path, ...] = ()


def _caret(source: str | None, column: int | None) -> str:
    if source is None:
        return ""
    shown = f"    {source}"
    if column is None:
        return shown
    # Tabs stay tabs, so that the caret stands under its character at any tab width.
    lead = "".join("\t" if char == "\t" else " " for char in source[: column - 1])
    return f"{shown}\n    {lead}^"
