"""What kod says: whole lines, also when two threads say something at once."""

from __future__ import annotations

import io
import sys
import threading
import time

import pytest
from kod.cli import apps, output
from kod.cli.output import Output


class Slow(io.StringIO):
    """A stream at each write of which another thread gets its turn."""

    def write(self, text: str) -> int:
        count = super().write(text)
        time.sleep(0)
        return count


class Terminal(io.StringIO):
    """A stream that is one, and says nothing of its size."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", [1, 20, 40, 80])
def test_progress_stays_in_one_line_of_the_terminal(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(output, "_columns", lambda _: columns)
    Output().progress("'a-clock-with-a-long-name' to 'a-desk-with-a-long-name'", 1, 2)
    line = stream.getvalue().removeprefix("\r")
    assert len(line) <= max(1, columns - 1)
    assert line.endswith("50%"[-columns:]) or columns == 1


def test_what_an_app_says_of_itself_steers_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("NO_COLOR", "1")
    apps._facts({"settings": '-D title="\x1b]0;mine\x07"'}, Output())
    Output().table(("SERVICE", "APP"), [("user/\x1b[2J", "clock")])
    assert "\x1b" not in stream.getvalue()
    assert r"\x1b]0;mine\x07" in stream.getvalue()


@pytest.mark.parametrize("kind", ["line", "note"])
def test_lines_of_two_threads_stay_whole(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    stream = Slow()
    monkeypatch.setattr(sys, "stdout" if kind == "line" else "stderr", stream)
    out = Output()

    def say(word: str) -> None:
        for _ in range(200):
            getattr(out, kind)(word)

    threads = [threading.Thread(target=say, args=(word,)) for word in ("one", "two", "three")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(set(stream.getvalue().splitlines())) == ["one", "three", "two"]
    assert stream.getvalue().count("\n") == 600
