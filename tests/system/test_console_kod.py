"""kod over the cable: all it does over the network, in turn with mpremote, over bad lines."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from console_lab import DEEP, Line, Person, Rfc2217, Talk, talking
from kod import micropython
from simulated_device import until

KOD = [sys.executable, "-m", "kod"]
VERSION = (
    "print('this is version {}')\nimport asyncio\nasync def main():\n    await asyncio.sleep(99)\n"
)

BUSY = """
import asyncio, time
async def main():
    while True:
        start = time.ticks_ms()
        while time.ticks_diff(time.ticks_ms(), start) < {}:
            pass
        await asyncio.sleep(0)
"""


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talk]:
    # At the speed of a real line: 115200 baud.
    with talking(tmp_path_factory.mktemp("cable"), "--baud", "115200", chatty=True) as talk:
        yield talk


@pytest.fixture(autouse=True)
def _apps_go_on(talk: Talk) -> Iterator[None]:
    with talk.going_on():
        yield


@pytest.fixture
def line(talk: Talk) -> Iterator[Line]:
    with Line(talk.port) as line:
        yield line


def says(talk: Talk, name: str, version: int) -> bool:
    """Whether an app runs in that version, asked over the network."""
    lines = [one.text for one in talk.link.log(name)]
    state = {one["name"]: one["state"] for one in talk.link.list()}.get(name)
    return state == "running" and lines[-1:] == [f"this is version {version}"]


@contextmanager
def beside(talk: Talk, folder: Path, name: str, text: str) -> Iterator[None]:
    """With one app more, that is installed over the network."""
    (folder / f"{name}.py").write_text(text)
    talk.desk.kod("install", name, folder / f"{name}.py")
    try:
        yield
    finally:
        talk.desk.kod("uninstall", name)


def test_an_app_is_installed_seen_called_and_removed(talk: Talk, tmp_path: Path) -> None:
    desk = talk.desk
    (tmp_path / "clock.py").write_text(VERSION.format(1))
    assert (
        "installed on 'desk'"
        in desk.kod("install", "clock", tmp_path / "clock.py", "-d", talk.port).err
    )
    assert "clock" in desk.kod("list", "-d", talk.port).out
    until(lambda: says(talk, "clock", 1))
    assert "this is version 1" in desk.kod("logs", "clock", "-d", talk.port).out
    posts = desk.kod("call", "test/hub", "look", "--json", "-d", talk.port).json()
    assert set(posts) == {"ann", "bob"}
    desk.kod("ping", "-n", "3", "-d", talk.port)
    assert desk.kod("info", "-d", talk.port, "--json").json()["name"] == "desk"
    desk.kod("uninstall", "clock", "-d", talk.port)
    assert "clock" not in desk.kod("list", "-d", talk.port).out


# Longer than a line is quiet between frames, and nearly as long as a step may be.
@pytest.mark.parametrize("ms", [120, 1700])
def test_an_app_with_long_steps_can_be_seen_and_stopped(
    talk: Talk, tmp_path: Path, ms: int
) -> None:
    with beside(talk, tmp_path, "busy", BUSY.format(ms)):
        assert "busy" in talk.desk.kod("list", "-d", talk.port).out
        assert "stopped" in talk.desk.kod("stop", "busy", "-d", talk.port).err


CHATTY = """
import asyncio
async def main():
    while True:
        print("a line that is soon followed by the next")
        await asyncio.sleep_ms(2)
"""


def test_a_log_that_grows_more_quickly_than_it_is_read_has_an_end(
    talk: Talk, tmp_path: Path
) -> None:
    with beside(talk, tmp_path, "chatty", CHATTY):
        assert "is soon followed" in talk.desk.kod("logs", "chatty", "-d", talk.port).out


def test_a_run_shows_its_output_and_ends_with_its_code(talk: Talk, tmp_path: Path) -> None:
    (tmp_path / "ends.py").write_text(
        "import sys\nfor n in range(40): print('line', n)\nsys.exit(3)\n"
    )
    done = talk.desk.kod("run", tmp_path / "ends.py", "-d", talk.port, code=None)
    assert [line for line in done.out.splitlines() if "line" in line] == [
        f"line {n}" for n in range(40)
    ]
    assert "failed (code 3)" in done.err


def test_kod_and_mpremote_in_turn(talk: Talk) -> None:
    for turn in range(50 if DEEP else 4):
        assert talk.mpremote("exec", f"print({turn} * 2)") == f"{turn * 2}\n"
        assert "hub" in talk.desk.kod("list", "-d", talk.port).out


def test_a_line_half_typed_is_there_after_kod_was(talk: Talk) -> None:
    with Person(talk.port) as person:
        person.types("\x03", r">>> ")
        person.types("kept = 20 +", r"kept = 20 \+")
    talk.desk.kod("ping", "-d", talk.port)
    with Person(talk.port) as person:
        person.types(" 1\r", r">>> ")
        person.types("print('it is', kept)\r", r"it is 21\r\n")
        person.types("\x04", r"soft reboot")


def test_no_line_of_an_app_stands_between_frames(talk: Talk, line: Line) -> None:
    line.heard.clear()
    talk.desk.kod("ping", "-n", "20", "-d", line.port)
    session = bytes(line.heard)
    session = session[session.index(b"kodkod 1 ") :]
    assert b"count" not in session[: session.rindex(b"\0")]
    until(lambda: b"] count" in line.heard)


def test_two_kods_on_one_line_are_not_mixed(talk: Talk) -> None:
    first = talk.desk.popen("logs", "-f", "-d", talk.port)
    try:
        until(lambda: first.stdout and first.stdout.readline())
        second = talk.desk.kod("list", "-d", talk.port, code=1)
        assert "in use" in second.err
    finally:
        first.terminate()
        first.communicate()


def test_a_bare_repl_is_named_and_not_touched(talk: Talk) -> None:
    master, slave = os.openpty()
    bare = subprocess.Popen(
        [*micropython.command(), "-i"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "dumb"},
    )
    os.close(slave)
    try:
        with Line(master) as line:
            with Person(line.port) as person:
                person.types("kept = 5\r")
            failed = talk.desk.kod("list", "-d", line.port, code=3)
            assert "a bare MicroPython prompt answers at" in failed.err
            assert "kod setup" in failed.err
            with Person(line.port) as person:
                person.types("\x03")
                person.types("kept\r", r"\n5\r?\n>>> ")
    finally:
        bare.kill()
        bare.wait()


@pytest.mark.parametrize("seed", range(60 if DEEP else 2))
def test_noise_never_hangs_and_never_lies(
    talk: Talk, line: Line, tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    rate = (0.0005, 0.002, 0.005)[seed % 3]
    (tmp_path / "noisy.py").write_text(VERSION.format(seed) + f"# {dice.randbytes(900).hex()}\n")
    line.noise(rate, seed)
    done = talk.desk.kod(
        "install",
        "noisy",
        tmp_path / "noisy.py",
        "--no-probation",
        "-d",
        line.port,
        code=None,
    )
    line.quiet()
    if done.code == 0:
        until(lambda: says(talk, "noisy", seed))
    else:
        assert done.err.splitlines()[-1].startswith("kod: "), done
    talk.desk.kod("install", "noisy", tmp_path / "noisy.py", "--no-probation", "-d", line.port)
    until(lambda: says(talk, "noisy", seed))
    talk.desk.kod("uninstall", "noisy", "-d", line.port)


@pytest.mark.parametrize("count", range(3, 60, 1 if DEEP else 25))
def test_the_line_is_cut_after_every_frame(
    talk: Talk, line: Line, tmp_path: Path, count: int
) -> None:
    (tmp_path / "cut.py").write_text(VERSION.format(count))
    line.cut_after(count)
    done = talk.desk.kod(
        "install", "cut", tmp_path / "cut.py", "--no-wait", "-d", line.port, code=None
    )
    if done.code == 0:
        until(lambda: says(talk, "cut", count))
    with Line(talk.port) as again:
        talk.desk.kod("install", "cut", tmp_path / "cut.py", "--no-probation", "-d", again.port)
        until(lambda: says(talk, "cut", count))


class Prompt:
    """kod repl in a terminal of its own."""

    def __init__(self, talk: Talk, where: str) -> None:
        self.master, slave = os.openpty()
        self.process = subprocess.Popen(
            [*KOD, "repl", "-d", where],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=talk.desk.environment,
        )
        os.close(slave)

    def __enter__(self) -> Prompt:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def test_kod_repl_is_a_prompt_on_the_device(talk: Talk) -> None:
    with Prompt(talk, "desk") as prompt, Person.at(prompt.master) as person:
        person.sees(r">>> $")
        person.types("6 * 7\r", r"\r\n42\r\n")
        os.write(prompt.master, b"\x1d")
        assert prompt.process.wait(10) == 0


def test_a_console_behind_an_rfc2217_server_is_as_good_as_a_cable(
    talk: Talk, tmp_path: Path
) -> None:
    (tmp_path / "far.py").write_text(VERSION.format("far"))
    with Rfc2217(talk.port) as far:
        talk.desk.kod("install", "far", tmp_path / "far.py", "--no-probation", "-d", far.url)
        assert "far" in talk.desk.kod("list", "-d", far.url).out
        until(lambda: says(talk, "far", "far"))
        assert "Kodkod runs there" in talk.desk.kod("doctor", "-p", far.url, code=None).out
        with Prompt(talk, far.url) as prompt, Person.at(prompt.master) as person:
            person.sees(r">>> $")
            person.types("6 * 7\r", r"\r\n42\r\n")
            far.close()
            person.sees(r"is gone; is the cable still plugged in\?")
            assert prompt.process.wait(10) == 4
    talk.desk.kod("uninstall", "far", "-d", talk.port)


def test_kod_repl_without_a_terminal_says_what_to_do(talk: Talk) -> None:
    assert "needs a terminal" in talk.desk.kod("repl", "-d", talk.port, code=2).err


def test_kod_monitor_shows_what_apps_print(talk: Talk) -> None:
    for where in ("desk", talk.port):
        process = talk.desk.popen("monitor", "-d", where)
        assert process.stdout
        try:
            until(lambda: "count" in process.stdout.readline())  # noqa: B023
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=10)
        assert process.returncode == 130
