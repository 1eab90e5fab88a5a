"""How the unix port is started: at once where it is a module of this Python, else by its name."""

from __future__ import annotations

import subprocess

import pytest
from kod import micropython

SHOWS = "import sys; print(sys.argv[1:], sys.executable, sys.stdin.read()); sys.exit(7)"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    words = [*micropython.command(), "-c", SHOWS, *arguments]
    return subprocess.run(words, input="typed", capture_output=True, text=True, timeout=60)


def test_it_is_what_its_own_script_is() -> None:
    mine = run("a", "-X", "b c")
    script = [micropython.unix_port(), "-c", SHOWS, "a", "-X", "b c"]
    other = subprocess.run(script, input="typed", capture_output=True, text=True, timeout=60)
    assert (mine.returncode, mine.stdout, mine.stderr) == (7, other.stdout, other.stderr)
    assert "typed" in mine.stdout


def test_one_that_is_named_is_started_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    named = micropython.unix_port()
    monkeypatch.setenv("MICROPYTHON", named)
    assert micropython.command() == [named]
