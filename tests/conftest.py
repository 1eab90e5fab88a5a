"""Runs device tests: every tests/unit/test_*.py in one process of the unix port of MicroPython.

Each top-level `test_*` function is one pytest item. Comments in a file's first lines are its
settings: `# also: cpython` (runs it there too), `# heap: 512k`, `# timeout: 60` (s, whole file).
"""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from interpreter import ROOT, micropython

UNIT = ROOT / "tests" / "unit"
RUNNER = UNIT / "harness" / "run.py"
MARK = "\x1e"
DEFAULT_TIMEOUT_S = 60
SETTING = re.compile(r"#\s*(also|heap|timeout):\s*(\S+)")
FRAME = re.compile(r'  File "([^"]+)", line (\d+), in .*')

# What a shell starts in the background ignores Ctrl-C, and so would all that is started here.
signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass
class Outcome:
    """How one test ended, and what it printed."""

    end: str
    output: str


class DeviceTestFailed(Exception):
    pass


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> object:
    if module_path.parent != UNIT:
        return None
    return DeviceFile.from_parent(parent, path=module_path)


class DeviceFile(pytest.File):
    """One file of device tests; runs the selected ones when the first of them is asked for."""

    def collect(self) -> Iterator[DeviceTest]:
        source = self.path.read_text(encoding="utf-8")
        head = source.split("\nimport ")[0].splitlines()[:12]
        found = [match for match in map(SETTING.match, head) if match]
        self.settings = {match[1]: match[2] for match in found}
        self.outcomes: dict[str, dict[str, Outcome]] = {}
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        defined = [node.name for node in ast.parse(source).body if isinstance(node, functions)]
        names = [name for name in defined if name.startswith("test_")]
        for where in ("micropython", self.settings.get("also")):
            if where is None:
                continue
            for name in names:
                suffix = "" if where == "micropython" else "[cpython]"
                yield DeviceTest.from_parent(self, name=name + suffix, target=name, where=where)

    def outcome(self, test: DeviceTest) -> Outcome:
        if test.where not in self.outcomes:
            chosen = [
                item.target
                for item in self.session.items
                if isinstance(item, DeviceTest) and (item.parent, item.where) == (self, test.where)
            ]
            self.outcomes[test.where] = self._run(test.where, chosen)
        return self.outcomes[test.where][test.target]

    def _run(self, where: str, names: list[str]) -> dict[str, Outcome]:
        seconds = int(self.settings.get("timeout", DEFAULT_TIMEOUT_S))
        library = str(ROOT / "lib")
        environment = dict(os.environ, PYTHONHASHSEED="0")
        if where == "cpython":
            command = [sys.executable, "-u"]
            environment["PYTHONPATH"] = os.pathsep.join([library, str(UNIT)])
        else:
            command = [*micropython(), "-X", "heapsize=" + self.settings.get("heap", "8m")]
            environment["MICROPYPATH"] = os.pathsep.join([library, str(UNIT), ".frozen"])
        deep = "1" if os.environ.get("KODKOD_DEEP") == "1" else "0"
        command += [str(RUNNER), self.path.stem, deep, *names]
        process = subprocess.Popen(
            command,
            cwd=UNIT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=seconds)
            ended = f"the process ended with code {process.returncode}"
        except subprocess.TimeoutExpired:
            ended = f"killed: the file ran longer than {seconds} s"
            output = b""
        finally:
            output = _kill(process) or output
        return _outcomes(names, output.decode("utf-8", "replace"), ended)


def _kill(process: subprocess.Popen[bytes]) -> bytes:
    """Ends the whole process group, so that no helper of a test stays; gives its last output."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return b""
    output, _ = process.communicate() if process.returncode is None else (b"", b"")
    return output


def _outcomes(names: Iterable[str], text: str, ended: str) -> dict[str, Outcome]:
    found: dict[str, Outcome] = {}
    running = None
    before, *answers = text.split(MARK)
    for answer in answers:
        line, _, printed = answer.partition("\n")
        verb, _, word = line.partition(" ")
        if verb == "start":
            running = word
            found[running] = Outcome("died", printed)
        elif running is not None:
            found[running].end = word
            running = None
            before = printed
    lost = f"not run: {ended}"
    if running is not None:
        found[running].output += f"\n{ended}"
        lost += f" in {running}"
    for name in names:
        found.setdefault(name, Outcome("died", f"{before}\n{lost}"))
    return found


class DeviceTest(pytest.Item):
    """One test function of a device file."""

    def __init__(self, *, target: str, where: str, **rest: object) -> None:
        super().__init__(**rest)  # type: ignore[arg-type]
        self.target = target
        self.where = where

    def runtest(self) -> None:
        outcome = self.parent.outcome(self)  # type: ignore[union-attr]
        if outcome.end == "skipped":
            pytest.skip(outcome.output.strip())
        if outcome.end != "passed":
            raise DeviceTestFailed(outcome.output)
        self.add_report_section("call", "stdout", outcome.output)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        if isinstance(excinfo.value, DeviceTestFailed):
            return "\n".join(_with_source(str(excinfo.value).strip().splitlines()))
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, self.name


def _with_source(lines: list[str]) -> Iterator[str]:
    """MicroPython's tracebacks name a line but do not show it; CPython's do."""
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        yield line
        frame = FRAME.fullmatch(line)
        if frame and not after.startswith("    ") and Path(frame[1]).is_file():
            source = Path(frame[1]).read_text(encoding="utf-8").splitlines()
            yield "    " + source[int(frame[2]) - 1].strip()


COUNTED = re.compile(
    r"\d (power cuts|second power cuts|file system calls|calls, the|images|inputs|values and)"
    r"|sizes of a full flash|of 160 KB|KB in 32"
)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests have counted (power cuts, inputs tried) and measured, below their results."""
    lines = {
        line.strip(): None
        for reports in terminalreporter.stats.values()
        for report in reports
        for title, text in getattr(report, "sections", ())
        if "stdout" in title
        for line in text.splitlines()
        if COUNTED.search(line)
    }
    if lines:
        terminalreporter.section("counted")
        for line in lines:
            terminalreporter.line(line)
