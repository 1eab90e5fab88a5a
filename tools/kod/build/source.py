"""One source file: its text as MicroPython's lexer sees it, its tree, its imports."""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

from . import imports
from .errors import BuildError


@dataclass(eq=False)
class Source:
    """A Python file. `shown` is its name in messages, `origin` its name in tracebacks."""

    shown: str
    origin: str
    text: str
    path: Path | None = None  # None for a file of a package
    trouble: SyntaxError | None = field(default=None, init=False)

    @classmethod
    @lru_cache(maxsize=256)  # kod watch builds again and again; most files are as they were
    def of(cls, data: bytes, shown: str, origin: str, path: Path | None = None) -> Source:
        """Decodes a file; line ends become one kind, so that every checkout gives one image."""
        data = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise BuildError(
                "this line is not UTF-8; save the file as UTF-8", file=shown, line=line
            ) from None
        if "\0" in text:
            line = text[: text.index("\0")].count("\n") + 1
            raise BuildError("there is a NUL byte in this line", file=shown, line=line)
        return cls(shown, origin, text, path)

    @cached_property
    def tree(self) -> ast.Module | None:
        """The file as CPython parses it, or None (and `trouble` set) when it cannot."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # "invalid escape sequence" and its like
                return ast.parse(self.text)
        except SyntaxError as error:
            self.trouble = error
        except (ValueError, RecursionError, MemoryError):
            self.trouble = SyntaxError("too deep")
        return None

    @cached_property
    def imports(self) -> list[imports.Import]:
        return imports.scan(self.text) if self.tree is None else imports.find(self.tree)

    def line(self, number: int) -> str:
        lines = self.text.split("\n")
        return lines[number - 1] if 0 < number <= len(lines) else ""

    def error(self, message: str, line: int, column: int | None = None) -> BuildError:
        """A BuildError about a place in this file; with a column it shows the line."""
        source = self.line(line) if column else None
        return BuildError(message, file=self.shown, line=line, column=column, source=source)
