"""Warnings: what runs, but not as its author expects. One line each, with its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from building import build

SLEEP = "in a loop stops every app while it sleeps: use `await asyncio."
SKIPPED = "skipped: asyncio.run in line"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOD_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def warnings(folder: Path, text: str) -> list[str]:
    found = build(folder, {"app.py": text}).warnings
    assert all("\n" not in one for one in found)
    return found


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("import time\nwhile True:\n    time.sleep(1)\n", 3, "time.sleep " + SLEEP + "sleep(..)`"),
        ("import time as t\nfor x in y:\n    if x: t.sleep(x)\n", 3, SLEEP),
        ("from time import sleep\nwhile 1: sleep(1)\n", 2, SLEEP),
        ("from utime import sleep_ms as nap\nwhile 1: nap(500)\n", 2, "asyncio.sleep_ms(..)"),
        ("import time\nasync def f():\n  while 1:\n    time.sleep(1)\n", 4, SLEEP),
        ("import _thread\n", 1, "_thread is refused"),
        ("def f():\n  from _thread import start_new_thread\n", 2, "_thread is refused"),
        ("import machine\nt = machine.Timer(0)\n", 2, "machine.Timer(0) is Kodkod's own"),
        ("from machine import Timer as T\nT(0, period=3)\n", 2, "machine.Timer(0)"),
        ("import asyncio\nasyncio.run(f())\nprint(1)\n", 3, SKIPPED + " 2"),
        ("import asyncio as a\nx = a.run(f())\nprint(1)\n", 3, SKIPPED + " 2"),
        ("from asyncio import run\nif x:\n  run(f())\nprint(1)\n", 4, SKIPPED + " 3"),
        ("import uasyncio\nuasyncio.run(f())\ndef g(): pass\nx = 1\n", 4, SKIPPED + " 2"),
        ("import asyncio\ntry:\n  asyncio.run(f())\nfinally:\n  x()\n", 3, "its finally runs"),
        ("import asyncio\nwith x:\n  asyncio.run(f())\n", 3, "the with is left at once"),
        ("import asyncio\ntry:\n  asyncio.run(f())\nexcept E: pass\nx()\n", 5, SKIPPED + " 3"),
        ("import asyncio\ntry:\n  asyncio.run(f())\nexcept E: pass\nelse: x()\n", 5, SKIPPED),
    ],
)
def test_it_is_warned_of(tmp_path: Path, text: str, line: int, said: str) -> None:
    (warning,) = warnings(tmp_path, text)
    assert warning.startswith(f"app.py:{line}: ")
    assert said in warning


@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.sleep(1)\n",
        "import time\nwhile True:\n    time.sleep_ms(5)\n",
        "import time\nfor x in y:\n    def f():\n        time.sleep(1)\n",
        "import asyncio\nasync def f():\n  while True:\n    await asyncio.sleep(1)\n",
        "from mine import sleep\nwhile 1: sleep(1)\n",
        "import asyncio\nx = 1\nasyncio.run(f())\n",
        "import asyncio\nif __name__ == '__main__':\n    asyncio.run(f())\n",
        "import asyncio\ntry:\n    asyncio.run(f())\nexcept KeyboardInterrupt:\n    print(1)\n",
        "import asyncio\nasyncio.run(f())\nasyncio.new_event_loop()\n",
        "import asyncio\ndef g():\n    asyncio.run(f())\n    print(1)\n",
        "import asyncio\nasyncio.run(f())\ndef g(): pass\n",
        "from machine import Timer\nTimer(1)\nTimer(-1)\n",
        "try:\n    import _thread\nexcept ImportError:\n    _thread = None\n",
    ],
)
def test_nothing_is_said_about_what_is_right(tmp_path: Path, text: str) -> None:
    if "mine" in text:
        (tmp_path / "mine.py").write_text("")
    assert warnings(tmp_path, text) == []


def test_they_come_in_the_order_of_files_and_lines_each_once(tmp_path: Path) -> None:
    loop = "import time\nwhile 1:\n" + "    time.sleep(1); time.sleep(2)\n" * 10
    files: dict[str, str | bytes] = {"app.py": "import util\nimport _thread\n", "util.py": loop}
    places = [one.split(": ")[0] for one in build(tmp_path, files).warnings]
    assert places == ["app.py:2", *(f"util.py:{line}" for line in range(3, 13))]
