"""kod watch: what was saved last is what runs, however it was saved."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest
from kod.watching import Files
from simulated_device import SimulatedDevice, until

MAIN = """
import asyncio
import part
async def main(*args):
    while True:
        print("main {}", part.NAME, *args)
        await asyncio.sleep(0.02)
"""


class Watch:
    """A `kod watch` under way."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.notes: queue.SimpleQueue[str] = queue.SimpleQueue()
        pairs = ((process.stdout, self.lines), (process.stderr, self.notes))
        self._readers = [
            threading.Thread(target=self._read, args=pair, daemon=True) for pair in pairs
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: IO[str], lines: queue.SimpleQueue[str]) -> None:
        with stream:
            for line in stream:
                lines.put(line.rstrip())

    def sees(self, pattern: str) -> str:
        """The next line of the program that matches."""
        return self._next(self.lines, pattern)

    def says(self, pattern: str) -> str:
        """The next line of kod's own that matches."""
        return self._next(self.notes, pattern)

    def _next(self, lines: queue.SimpleQueue[str], pattern: str) -> str:
        deadline = time.monotonic() + 20
        while True:
            line = lines.get(timeout=max(0, deadline - time.monotonic()))
            if re.search(pattern, line):
                return line

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(20)

    def close(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):  # so that it ends its program
            self.end()
        self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join(5)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "prog.py").write_text(MAIN.format("one"))
    (tmp_path / "part.py").write_text("NAME = 'first'\n")
    return tmp_path


@pytest.fixture
def watch(bench: SimulatedDevice) -> Iterator[Callable[..., Watch]]:
    started: list[Watch] = []

    def start(*arguments: str | Path) -> Watch:
        started.append(Watch(bench.popen("watch", *map(str, arguments))))
        return started[-1]

    yield start
    for one in started:
        one.close()
    until(lambda: not [name for name in bench.states() if name.startswith("run-")])
    bench.clean()


def save_by_rename(path: Path, text: str) -> None:
    new = path.with_suffix(".tmp")
    new.write_text(text)
    os.replace(new, path)


def save_by_backup(path: Path, text: str) -> None:
    path.rename(path.with_suffix(".py~"))
    path.write_text(text)


def save_in_pieces(path: Path, text: str) -> None:
    with open(path, "w", buffering=1) as file:
        for line in text.splitlines(True):
            file.write(line)
            file.flush()
            os.fsync(file.fileno())


SAVES = [Path.write_text, save_by_rename, save_by_backup, save_in_pieces]


def test_every_way_of_saving_reloads(
    bench: SimulatedDevice, watch: Callable[..., Watch], project: Path
) -> None:
    running = watch(project / "prog.py", "x")
    running.sees("^main one first x$")
    for number, save in enumerate(SAVES):
        save(project / "prog.py", MAIN.format(f"number{number}"))
        running.sees(f"^main number{number} ")
        save(project / "part.py", f"NAME = 'part{number}'\n")
        running.sees(f"^main number{number} part{number} x$")
    assert len(bench.states()) == 1  # the ones before are gone
    assert running.end() == 130
    until(lambda: bench.states() == {})


def test_the_last_of_many_quick_saves_wins(
    bench: SimulatedDevice, watch: Callable[..., Watch], project: Path
) -> None:
    running = watch(project / "prog.py")
    running.sees("main one")
    for number in range(60):
        save_by_rename(project / "part.py", f"NAME = 'quick{number}'\n")
    running.sees("quick59$")
    running.end()


def test_a_build_error_is_shown_and_what_runs_goes_on(
    bench: SimulatedDevice, watch: Callable[..., Watch], project: Path
) -> None:
    running = watch(project / "prog.py")
    running.sees("main one")
    (project / "part.py").write_text("NAME = (\n")
    running.says(r"^ +\^")
    running.says(r"^kod: .*part\.py:1: .*; what runs goes on$")
    running.sees("main one first")
    (project / "part.py").write_text("NAME = 'mended'\n")
    running.sees("main one mended")
    (project / "part.py").write_text("from other import NAME\n")
    running.says(r"^kod: .*other")
    (project / "other.py").write_text("NAME = 'was missing'\n")
    running.sees("main one was missing")
    running.end()


def test_a_program_that_ends_or_crashes_runs_again_at_the_next_save(
    bench: SimulatedDevice, watch: Callable[..., Watch], project: Path
) -> None:
    program = project / "once.py"
    program.write_text("print('done')\n")
    running = watch(program)
    running.sees("^done$")
    running.says(r"^ended \(code 0\); the next save runs it again")
    program.write_text("1 / 0\n")
    running.sees("ZeroDivisionError")
    running.says(r"failed \(code 1\)")
    program.write_text("print('mended')\n")
    running.sees("^mended$")
    running.end()


def test_install_reloads_an_installed_app_and_keeps_its_settings(
    bench: SimulatedDevice, watch: Callable[..., Watch], project: Path
) -> None:
    program = project / "prog.py"
    install = ("install", "clock", program, "--restart", "always", "-D", "a=1")
    bench.kod(*install, "--probation", "1h", "--", "arg")
    before = bench.kod("info", "clock", "--json").json()
    running = watch("--install", "clock", program)
    running.says("runs as 'clock' on 'bench'")
    running.sees("main one first arg")
    save_by_rename(project / "part.py", "NAME = 'second'\n")
    running.sees("main one second arg")
    assert running.end() == 130
    record = bench.kod("info", "clock", "--json").json()
    assert (record["state"], record["probation"]) == ("running", 0)
    assert record["settings"] == before["settings"]
    assert record["settings"]["probation_ms"] == 3_600_000


@pytest.mark.parametrize("installed", [False, True])
def test_a_device_that_restarts_is_connected_to_again(
    bench: SimulatedDevice, watch: Callable[..., Watch], project: Path, installed: bool
) -> None:
    running = watch(project / "prog.py", *(["--install", "clock"] if installed else []))
    running.sees("main one first")
    bench.kod("reset")
    running.says("prog.py runs ")
    (project / "part.py").write_text("NAME = 'after'\n")
    running.sees("main one after")
    running.end()


def test_it_watches_on_this_computer_too(
    bench: SimulatedDevice, watch: Callable[..., Watch], project: Path
) -> None:
    running = watch("-d", "host", project / "prog.py", "x")
    running.sees("main one first x")
    (project / "part.py").write_text("NAME = 'second'\n")
    running.sees("main one second x")
    assert running.end() == 130


def test_on_this_computer_it_has_its_options_and_says_json(
    bench: SimulatedDevice, watch: Callable[..., Watch], project: Path
) -> None:
    (project / "prog.py").write_text("import kodkod\nprint(kodkod.defines)\n")
    running = watch("-d", "host", "--json", "-D", 'a="5"', project / "prog.py")
    assert json.loads(running.sees("event"))["event"] == "running"
    assert json.loads(running.sees("event"))["text"] == "{'a': '5'}"
    said = "goes on"
    for line in range(1, 100):
        (project / "prog.py").write_text("\n" * line + "print(1 +\n")
        said = running.says(r"^kod: .*prog\.py:\d+: ")
        if "goes on" not in said:
            break
    assert "goes on" not in said  # once it has ended it does not


def test_a_save_during_a_build_counts(project: Path) -> None:
    from kod.build import build_image

    program = project / "prog.py"
    files = Files(program)
    files.build(lambda: build_image(program))
    while files.changed():  # written too lately to be told from a save since
        files.build(lambda: build_image(program))

    def build_and_save() -> object:
        image = build_image(program)
        save_by_rename(program, MAIN.format("two"))
        return image

    files.build(build_and_save)
    assert files.changed()
    assert b"two" in files.build(lambda: build_image(program)).data
    assert not files.changed()
