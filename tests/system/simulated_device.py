"""A simulated device under test: a real process, real sockets, a KOD_HOME of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, TextIO

import pytest
from kod import Device, names, simulated
from kod.cli import main

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def director(folder: Path) -> Path:
    """The scenarios' director, written to `folder`: it looks for what is left in the library."""
    text = (ROOT / "tests" / "scenarios" / "lab.py").read_text()
    for name in ("sessions_", "running_", "turns_"):
        text = text.replace(f"lab.{name}", f"lab.{names.given()[name]}")
    path = folder / "lab.py"
    path.write_text(text)
    return path


@dataclass
class Result:
    """How a `kod` command ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


def until(condition: Callable[[], object], seconds: float = 20, what: str = "") -> Any:
    """What `condition` gives once it is true."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, what or "it did not happen in time"
        time.sleep(0.02)
    return value


def _judged(result: Result, code: int | None) -> Result:
    assert code is None or result.code == code, result
    return result


def _run_here(arguments: list[str], environment: dict[str, str], folder: Path) -> Result:
    """`kod` in this process, with what one of its own would have: standard files, for what it
    starts as well, an environment, a folder."""
    before = dict(os.environ), os.getcwd(), sys.stdin, sys.stdout, sys.stderr
    with contextlib.ExitStack() as undo:
        files: list[TextIO] = [undo.enter_context(open(os.devnull, encoding="utf-8"))]
        files += [undo.enter_context(TemporaryFile("w+", encoding="utf-8")) for _ in "12"]
        for number, file in enumerate(files):
            kept = os.dup(number)
            undo.callback(os.close, kept)
            undo.callback(os.dup2, kept, number)
            os.dup2(file.fileno(), number)
        try:
            os.environ.update(environment)
            os.chdir(folder)
            sys.stdin, sys.stdout, sys.stderr = files
            code = main(arguments)
        finally:
            environ, here, sys.stdin, sys.stdout, sys.stderr = before
            os.chdir(here)
            os.environ.clear()
            os.environ.update(environ)
        out, err = map(_whole, files[1:])
    return Result(code, out, err)


def _whole(file: TextIO) -> str:
    file.flush()
    file.seek(0)
    return file.read()


def in_process(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """`kod` in this process: what it does is the same, a start is saved."""

    def run(*arguments: object, code: int = 0) -> Result:
        got = main([str(one) for one in arguments])
        result = Result(got, *capsys.readouterr())
        assert got == code, result
        return result

    return run


class SimulatedDevice:
    """`kod simulate` as a process, and `kod` commands against it."""

    def __init__(self, place: Path, name: str = "bench", options: tuple[str, ...] = ()) -> None:
        self.folder = place / name
        self.name = name
        self.home = place / "home"
        self.options = options
        self.console_file = place / f"{name}.console"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "KOD_HOME": str(self.home)}

    @property
    def run_json(self) -> dict[str, Any]:
        run = simulated.running(self.folder)
        assert run, "the simulated device does not run"
        return run

    @property
    def settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = json.loads((self.folder / "kodkod.json").read_text())
        return settings

    def start(self) -> None:
        """Starts it on its folder and waits until it can be reached."""
        command = [sys.executable, "-m", "kod", "simulate", "--name", self.name]
        command += ["--folder", str(self.folder), *self.options]
        with open(self.console_file, "ab") as console:
            self.process = subprocess.Popen(
                command, stdout=console, stderr=console, env=self.environment
            )
        until(self._is_up, what=f"no device: {self.console()}")

    def _is_up(self) -> bool:
        assert self.process
        assert self.process.poll() is None, self.console()
        run = simulated.running(self.folder)
        return bool(run) and simulated.answers(run["host"], run["port"])

    def stop(self) -> None:
        """Ends it as a person would."""
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(20)
            finally:
                self.process.kill()
                self.process.wait()
            self.process = None

    def cut_power(self) -> None:
        """Ends the device between two instructions, and then what simulated it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.run_json["device_pid"], signal.SIGKILL)
        self.stop()

    def console(self) -> str:
        """What the console has said since the first start."""
        return self.console_file.read_text(errors="replace")

    def popen(self, *arguments: str) -> subprocess.Popen[str]:
        """A `kod` command that goes on for a while."""
        return subprocess.Popen(
            [sys.executable, "-u", "-m", "kod", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
            cwd=self.folder.parent,
        )

    def kod(self, *arguments: str | Path, code: int | None = 0) -> Result:
        """Runs a `kod` command in this process: what it does is the same, a start is saved.
        `code` is the exit code it must have."""
        words = [str(one) for one in arguments]
        return _judged(_run_here(words, self.environment, self.folder.parent), code)

    def started_kod(self, *arguments: str | Path, code: int | None = 0) -> Result:
        """The same as a process of its own, from its start to its end."""
        with self.popen(*map(str, arguments)) as process:
            try:
                out, err = process.communicate(timeout=60)
            except BaseException:
                process.kill()
                raise
        return _judged(Result(process.returncode, out, err), code)

    def connect(self) -> Device:
        """The device as a library, from this process."""
        return Device.find(self.settings["id"])

    def states(self) -> dict[str, str]:
        """The state of each app by its name."""
        return {one["name"]: one["state"] for one in self.kod("list", "--json").json()}

    def clean(self) -> None:
        """Removes every app."""
        names = list(self.states())
        if names:
            self.kod("uninstall", *names)
