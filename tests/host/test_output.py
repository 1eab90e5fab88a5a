"""What kod says: whole lines, also when two threads say something at once."""

from __future__ import annotations

import io
import sys
import threading
import time

import pytest
from kod.cli.output import Output


class Slow(io.StringIO):
    """A stream at each write of which another thread gets its turn."""

    def write(self, text: str) -> int:
        count = super().write(text)
        time.sleep(0)
        return count


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
