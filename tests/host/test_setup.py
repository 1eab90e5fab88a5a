"""kod setup, on a unix port of MicroPython that behaves as a board at its prompt."""

from __future__ import annotations

import json
import os
import pty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kod import config, setup_device
from kod.cli import main
from kod.errors import UserError
from kod.flash import plan
from kod.setup_device import Info, Setup
from unix_board import UnixBoard

# It says so again and again: a port that is opened drops what came before, and no link answers.
BOOT = b"""
import time
import kodkod
def main():
    while True:
        print("kodkod", kodkod.VERSION, "is up")
        time.sleep(0.2)
"""
SPEAKS = b"""
def main():
    print("[kodkod] app 'web' stopped: as the one before may say at its end")
    while True:
        pass
"""
START = b"import sys\nfrom kodkod.system import boot\nsys.exit(boot.main())\n"


def library(version: int, boot: bytes = BOOT) -> dict[str, bytes]:
    """A small library that is started as Kodkod is."""
    return {
        "boot.py": b"# empty\n",
        "main.py": START,
        "lib/kodkod/__init__.py": b"VERSION = %d\n" % version,
        "lib/kodkod/filler.py": b"# the same in all of them\n" * 100,
        "lib/kodkod/system/__init__.py": b"",
        "lib/kodkod/system/boot.py": boot,
    }


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("KOD_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KOD_WIFI_SSID", raising=False)
    with open(os.devnull) as nobody:
        monkeypatch.setattr("sys.stdin", nobody)
        yield


@pytest.fixture
def flash(tmp_path: Path) -> Path:
    folder = tmp_path / "flash"
    folder.mkdir()
    return folder


@pytest.fixture
def board(flash: Path) -> Iterator[UnixBoard]:
    with UnixBoard(flash) as running:
        yield running


def write(flash: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        path = flash / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def on(flash: Path) -> dict[str, bytes]:
    paths = (path for path in flash.rglob("*") if path.is_file())
    return {path.relative_to(flash).as_posix(): path.read_bytes() for path in paths}


Run = Callable[..., int]


@pytest.fixture
def setup(board: UnixBoard, monkeypatch: pytest.MonkeyPatch) -> Run:
    def run(files: dict[str, bytes], *arguments: str) -> int:
        monkeypatch.setattr(plan, "device_files", lambda platform: files)
        return main(["setup", "--port", board.port, "--wait", "30", *arguments])

    return run


def test_a_device_with_micropython_becomes_one_with_kodkod(
    setup: Run, board: UnixBoard, flash: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(flash, {"boot.py": b"# This file is executed on every boot\n#import esp\n"})
    write(flash, {"lib/mine.py": b"x = 1\n"})
    assert setup(library(1), "--name", "desk") == 0
    out, err = capfd.readouterr()
    assert out.startswith("desk (")
    assert "files in place and verified" in err
    files = on(flash)
    settings = json.loads(files.pop("kodkod.json"))
    assert files == {**library(1), "lib/mine.py": b"x = 1\n"}  # and no /lib.new, no /lib.old
    known = config.by_id(settings["id"])
    assert known is not None
    assert (known.name, known.key, known.console) == ("desk", settings["key"], board.port)
    assert settings["key"] not in out + err
    assert "hard" in board.restarts


def test_renewing_sends_what_differs_and_keeps_the_settings(
    setup: Run, flash: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = plan.new_settings("desk", [["home", "swordfish"]])
    write(flash, {**library(1), "kodkod.json": plan.settings_file({**settings, "wifi": []})})
    write(flash, {"lib/kodkod/gone.py": b"old"})
    assert setup(library(2)) == 0
    _, err = capfd.readouterr()
    assert f"{len(library(2)['lib/kodkod/__init__.py'])} bytes sent" in err
    files = on(flash)
    assert json.loads(files.pop("kodkod.json")) == {**settings, "wifi": []}
    assert files == library(2)
    assert config.by_id(settings["id"]) is not None


def test_what_is_up_to_date_is_left_alone(
    setup: Run, flash: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert setup(library(1), "--name", "desk") == 0
    before = on(flash)
    assert setup(library(1)) == 0
    assert "the library is up to date" in capfd.readouterr()[1]
    assert on(flash) == before


def test_a_network_can_be_added_without_sending_the_library_again(setup: Run, flash: Path) -> None:
    assert setup(library(1), "--name", "desk") == 0
    arguments = ["--wifi-ssid", "home", "--wifi-open", "--name", "shed", "--wait", "0"]
    assert setup(library(1), *arguments) == 0
    settings = json.loads(on(flash)["kodkod.json"])
    assert (settings["name"], settings["wifi"]) == ("shed", [["home", ""]])


@pytest.mark.parametrize(
    ("boot", "says"),
    [
        (b"import no_such_module\n", "does not load there"),
        (b"def main(:\n", "does not load there"),
        (b"def main():\n    raise OSError('no pins')\n", "did not come up with the new library"),
        (b"def main():\n    return 0\n", "did not come up with the new library"),
        (SPEAKS, "did not come up with the new library (it says nothing more)"),
    ],
    ids=["missing module", "syntax error", "fails at its start", "ends at once", "hangs"],
)
def test_a_library_that_does_not_come_up_is_rolled_back(
    setup: Run, board: UnixBoard, flash: Path, boot: bytes, says: str,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    write(flash, {**library(1), "kodkod.json": plan.settings_file(plan.new_settings("desk", []))})
    before = on(flash)
    wait = "5" if boot is SPEAKS else "1.5"  # until it has begun to speak, on a busy machine too
    assert setup(library(2, boot), "--wait", wait) == 1
    _, err = capfd.readouterr()
    assert says in err
    assert "the one before is back" in err
    assert on(flash) == before


def test_a_first_library_that_fails_leaves_a_bare_device(
    setup: Run, flash: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert setup(library(1, b"import no_such_module\n"), "--name", "desk") == 1
    assert set(on(flash)) == {"kodkod.json"}


def test_damage_on_the_way_changes_nothing(
    setup: Run, flash: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write(flash, library(1))
    before = on(flash)
    from kod.mpremote_api import Repl

    original = Repl.write
    monkeypatch.setattr(Repl, "write", lambda self, path, data: original(self, path, data[:-1]))
    assert setup(library(2)) == 1
    assert "__init__.py arrived damaged; nothing was changed" in capfd.readouterr()[1]
    assert on(flash) == before


def test_a_main_of_somebody_else_is_not_replaced_unasked(
    setup: Run, flash: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(flash, {"main.py": b"print('my blinking light')\n"})
    assert setup(library(1)) == 1
    assert "a main.py of its own" in capfd.readouterr()[1]
    assert set(on(flash)) == {"main.py"}
    assert setup(library(1), "--force") == 0
    assert on(flash)["main.py"] == START


@pytest.mark.parametrize("cut", ["before the new one", "after the new one", "while staging"])
def test_a_setup_that_was_cut_short_is_mended_by_the_next(
    setup: Run, flash: Path, cut: str
) -> None:
    write(flash, library(1))
    if cut == "while staging":
        write(flash, {"lib.new/kodkod/__init__.py": b"half"})
    else:
        (flash / "lib.old").mkdir()
        (flash / "lib.old" / "main.py").write_bytes(START)
        (flash / "lib" / "kodkod").rename(flash / "lib.old" / "kodkod")
        if cut == "after the new one":
            write(flash, {p: d for p, d in library(2).items() if p.startswith("lib/")})
    assert setup(library(3), "--name", "desk") == 0
    files = on(flash)
    files.pop("kodkod.json")
    assert files == library(3)


def test_a_running_program_is_interrupted(setup: Run, flash: Path, board: UnixBoard) -> None:
    write(flash, {"main.py": b"# kodkod of old\nimport kodkod_old\n"})
    write(flash, {"lib/kodkod_old.py": b"while True:\n    pass\n"})
    from kod.mpremote_api import Repl

    with Repl(board.port) as repl:
        repl.enter()
        repl.send("import machine; machine.reset()")
    assert setup(library(1), "--name", "desk") == 0


# --- what a device may say of itself ---------------------------------------------------------


class Said:
    """A REPL that answers info() with what it was given."""

    def __init__(self, **changes: object) -> None:
        fields = {"implementation": "micropython", "version": (1, 26, 1), "mpy": 6}
        fields |= {"platform": "esp32", "free_flash": 1 << 20, "board": "", "is_running": False}
        self.info = Info(**{**fields, **changes})  # type: ignore[arg-type]

    def run(self, code: str) -> str:
        return ""

    def value(self, expression: str) -> object:
        return tuple(vars(self.info).values()) if expression == "info()" else None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"implementation": "circuitpython"}, "runs circuitpython, not MicroPython"),
        ({"version": (1, 25, 0)}, "needs 1.26 or newer: kod flash"),
        ({"mpy": 5}, "reads .mpy version 5"),
    ],
)
def test_a_device_that_cannot_run_it_is_told_so(changes: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says):
        Setup(Said(**changes)).begin()  # type: ignore[arg-type]


def test_too_little_flash_is_said_before_anything_is_sent() -> None:
    with pytest.raises(UserError, match="has 40 KB of flash free, 52 KB are needed"):
        Setup(Said()).stage(library(1), {}, 40 << 10)  # type: ignore[arg-type]


def test_a_device_knows_its_own_library_by_hash() -> None:
    there = {"/" + path: setup_device._sha256(data) for path, data in library(1).items()}
    assert not setup_device.changed(library(1), there)
    assert setup_device.changed(library(2), there)
    assert setup_device.changed(library(1), {**there, "/lib/kodkod/more.mpy": ""})


def test_a_port_where_nobody_answers(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kod.mpremote_api._PROMPT_S", 0.2)
    controller, terminal = pty.openpty()
    try:
        assert main(["setup", "--port", os.ttyname(terminal)]) == 4
    finally:
        os.close(controller)
        os.close(terminal)
    assert "no MicroPython prompt on" in capfd.readouterr()[1]


def test_a_port_that_is_not_there(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["setup", "/dev/ttyNONE9"]) == 3
    assert "no port /dev/ttyNONE9" in capfd.readouterr()[1]
