"""kod flash as people use it, against a stand-in for the board."""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import fake_firmware
import pytest
from fake_rom_loader import FakeEsp32, FakePort
from kod import config
from kod.cli import main
from kod.flash import boards, esp, image, plan, ports, wait
from kod.flash.wait import Heard

VFS = slice(0x200000, 0x400000)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("KOD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("KOD_WIFI_SSID", raising=False)
    monkeypatch.delenv("KOD_WIFI_PASSWORD", raising=False)
    with open(os.devnull) as nobody:  # no terminal: nothing is asked
        monkeypatch.setattr("sys.stdin", nobody)
        yield


@pytest.fixture
def firmware(tmp_path: Path) -> str:
    path = tmp_path / "firmware.bin"
    path.write_bytes(fake_firmware.for_board(boards.by_name("ESP32_GENERIC")))
    return str(path)


@pytest.fixture
def chip() -> FakeEsp32:
    return FakeEsp32()


@pytest.fixture
def port(chip: FakeEsp32) -> Iterator[str]:
    with FakePort(chip) as serving:
        yield serving.url


@pytest.fixture
def board(chip: FakeEsp32, monkeypatch: pytest.MonkeyPatch) -> FakeEsp32:
    """The same board without esptool between, for what comes before and after it."""

    def write(line: object, name: str, pieces: list[plan.Piece], **_: object) -> None:
        for piece in pieces:
            chip.flash[piece.offset : piece.end] = piece.data

    monkeypatch.setattr(esp, "detect", lambda line: esp.Chip("esp32", "ESP32", "", 4 << 20))
    monkeypatch.setattr(esp, "write", write)
    monkeypatch.setattr(
        esp,
        "read",
        lambda line, name, offset, size, progress: bytes(chip.flash[offset : offset + size]),
    )
    chip.mode = "app"
    return chip


def files(chip: FakeEsp32) -> dict[str, bytes]:
    return image.read(bytes(chip.flash[VFS]))


def settings(chip: FakeEsp32) -> dict[str, object]:
    value = json.loads(files(chip)["kodkod.json"])
    assert isinstance(value, dict)
    return value


Said = Callable[[], tuple[str, str]]


@pytest.fixture
def said(capfd: pytest.CaptureFixture[str]) -> Said:
    return lambda: tuple(capfd.readouterr())  # type: ignore[return-value]


def flash(*arguments: str) -> int:
    return main(["flash", *arguments])


# --- the whole way ---------------------------------------------------------------------------


def test_one_command_makes_a_device_of_a_board(
    chip: FakeEsp32, port: str, firmware: str, said: Said
) -> None:
    chip.boots = lambda chip: b"rst:0x1\r\nkodkod: desk at 127.0.0.2:9190\r\n"
    chip.resets_by_itself = False
    arguments = ["--port", port, "--firmware", firmware, "--name", "desk", "--wait", "0"]
    assert flash(*arguments, "--wifi-ssid", "home", "--wifi-password", "swordfish") == 0
    out, err = said()
    assert out.startswith("desk (")
    assert "kod install NAME FILE.py -d desk" in err
    assert "swordfish" not in out + err
    found = settings(chip)
    assert found["wifi"] == [["home", "swordfish"]]
    assert (found["name"], found["port"]) == ("desk", 9190)
    known = config.by_id(str(found["id"]))
    assert known is not None
    assert (known.name, known.key, known.console, known.chip) == (
        *("desk", found["key"], port, "ESP32"),
    )
    assert str(found["key"]) not in out + err
    assert config.last_used() == known.id
    path = config.home() / "devices" / f"{known.id}.json"
    assert path.stat().st_mode & 0o777 == 0o600


def test_it_waits_until_the_device_says_where_it_is(
    chip: FakeEsp32, port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kod.flash.wait._SILENT_S", 0.1)
    chip.mode = "app"
    chip.boots = lambda chip: b"MicroPython\r\nkodkod: shed at 127.0.0.2:9190\r\n"
    known = config.Known(id="0123456789ab", name="shed")

    def press(text: str) -> None:
        assert "press EN (RST)" in text
        chip.boot()

    heard = wait.wait(port, known, wifi=True, seconds=20, say=press)
    assert (heard.up, heard.host, heard.port) == (True, "127.0.0.2", 9190)
    assert heard.lines == ["MicroPython", "kodkod: shed at 127.0.0.2:9190"]


def test_what_was_heard_is_remembered_and_said(
    board: FakeEsp32, firmware: str, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.2", 0)) as there:
        number = there.getsockname()[1]
        heard = Heard(anything=True, up=True, host="127.0.0.2", port=number)
        monkeypatch.setattr(wait, "wait", lambda *_, **__: heard)
        arguments = ["--port", "socket://x:1", "--firmware", firmware, "--name", "shed", "--json"]
        assert flash(*arguments, "--wifi-ssid", "home", "--wifi-open") == 0
    value = json.loads(said()[0])
    assert (value["host"], value["port"], value["up"]) == ("127.0.0.2", number, True)
    assert value["plan"]["board"] == "ESP32_GENERIC"
    known = config.by_id(value["id"])
    assert known is not None
    assert (known.host, known.port) == ("127.0.0.2", number)


@pytest.mark.parametrize(
    ("heard", "says"),
    [
        (Heard(up=True), "not in the Wi-Fi yet"),
        (Heard(up=True, host="127.0.0.2", port=1), "does not answer to this computer"),
    ],
)
def test_a_device_that_is_up_but_not_reachable_says_why(
    board: FakeEsp32, firmware: str, said: Said, heard: Heard, says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(wait, "wait", lambda *_, **__: heard)
    arguments = ["--port", "socket://x:1", "--firmware", firmware, "--wifi-open"]
    assert flash(*arguments, "--wifi-ssid", "home") == 0
    assert says in said()[0]


def test_a_device_that_says_nothing_needs_its_button(
    board: FakeEsp32, port: str, firmware: str, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kod.flash.wait._SILENT_S", 0.2)
    code = flash("--port", port, "--firmware", firmware, "--name", "desk", "--wait", "1")
    _, err = said()
    assert code == 4
    assert "press EN (RST)" in err
    assert err.splitlines()[-1].startswith("kod: 'desk' is flashed and verified, but said nothing")
    assert config.devices()[0].name == "desk"  # its key is not lost


def test_keep_leaves_apps_data_and_key_and_renews_the_library(
    board: FakeEsp32, firmware: str, said: Said
) -> None:
    older = plan.new_settings("desk", [["home", "swordfish"]])
    content = {
        "kodkod.json": plan.settings_file(older),
        "lib/kodkod/old.mpy": b"M\x06old",
        "main.py": b"old",
        "lib/other.py": b"mine",
        "apps/1234/app.json": b"{}",
        "data/clock/x": b"data",
    }
    board.flash[VFS] = image.build(content, 0x200000)
    board.flash[0x8000:0x8C00] = fake_firmware.table(boards.by_name("ESP32_GENERIC").partitions)
    arguments = ["--port", "socket://x:1", "--firmware", firmware, "--keep", "--wait", "0"]
    assert flash(*arguments, "--wifi-ssid", "shop", "--wifi-open") == 0
    now = files(board)
    assert "lib/kodkod/old.mpy" not in now
    assert now["main.py"] != b"old"
    for path in ("lib/other.py", "apps/1234/app.json", "data/clock/x"):
        assert now[path] == content[path]
    assert settings(board) == {**older, "wifi": [["shop", ""], ["home", "swordfish"]]}
    assert config.devices()[0].key == older["key"]


def test_keep_refuses_what_it_cannot_read(board: FakeEsp32, firmware: str, said: Said) -> None:
    arguments = ["--port", "socket://x:1", "--firmware", firmware, "--keep", "--wait", "0"]
    assert flash(*arguments) == 1
    assert "not where the new firmware looks for it; nothing was written" in said()[1]
    board.flash[0x8000:0x8C00] = fake_firmware.table(boards.by_name("ESP32_GENERIC").partitions)
    assert flash(*arguments) == 1
    assert "no littlefs file system" in said()[1]
    board.flash[VFS] = image.build({"main.py": b"print(1)"}, 0x200000)
    before = bytes(board.flash)
    assert flash(*arguments) == 1
    assert "no Kodkod device" in said()[1]
    assert board.flash == before


def test_a_board_flashed_again_keeps_its_name_and_its_old_key_is_forgotten(
    board: FakeEsp32, firmware: str
) -> None:
    arguments = ["--port", "socket://x:1", "--firmware", firmware, "--wait", "0"]
    assert flash(*arguments, "--name", "desk") == 0
    first = config.devices()[0]
    assert flash(*arguments) == 0
    (second,) = config.devices()
    assert second.name == "desk"
    assert second.id != first.id
    assert second.key != first.key


def test_the_wrong_board_is_refused_before_anything_is_written(
    chip: FakeEsp32, port: str, said: Said
) -> None:
    assert flash("--port", port, "--board", "ESP32_GENERIC_C3") == 1
    assert "has an ESP32, ESP32_GENERIC_C3 has an ESP32-C3" in said()[1].splitlines()[-1]
    assert not any(call.startswith("DEFL") for call in chip.calls)
    assert not config.devices()


def test_a_chip_where_no_stub_starts_is_flashed_by_its_rom(
    board: FakeEsp32, firmware: str, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = []

    def detect(line: esp.Line) -> esp.Chip:
        lines.append(line.stub)
        if line.stub:
            raise esp.StubFailed("it does not start")
        return esp.Chip("esp32", "ESP32", "", 4 << 20)

    monkeypatch.setattr(esp, "detect", detect)
    arguments = ["--port", "socket://x:1", "--firmware", firmware, "--name", "desk"]
    assert flash(*arguments, "--wait", "0", "--console", "/dev/ttyUSB7") == 0
    assert lines == [True, False]
    assert "the chip's ROM has to do" in said()[1]
    assert settings(board)["name"] == "desk"
    assert config.devices()[0].console == "/dev/ttyUSB7"


def test_ctrl_c_while_it_writes_says_what_to_do(
    board: FakeEsp32, firmware: str, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(esp, "write", interrupted)
    assert flash("--port", "loop://", "--firmware", firmware, "--no-wifi") == 130
    assert "the board on loop:// is half written: run the command again" in said()[1]
    assert config.devices() == []


def test_a_failed_write_remembers_nothing(
    chip: FakeEsp32, port: str, firmware: str, said: Said
) -> None:
    chip.fails_at = "DEFL_DATA"
    assert flash("--port", port, "--firmware", firmware) == 1
    assert "writing the flash on" in said()[1]
    assert not config.devices()


# --- without a board -------------------------------------------------------------------------


@pytest.mark.parametrize("board", [board.name for board in boards.all_boards()])
def test_a_dry_run_for_every_board_writes_the_images_and_the_plan(
    board: str, tmp_path: Path, said: Said
) -> None:
    known = boards.by_name(board)
    path = tmp_path / "fw.bin"
    path.write_bytes(fake_firmware.for_board(known))
    where = tmp_path / "out"
    code = flash("--dry-run", "-o", str(where), "--board", board, "--firmware", str(path))
    assert code == 0
    out, _ = said()
    assert known.chip_label in out
    assert f"{known.vfs_offset:#x}" in out
    content = (where / "littlefs.bin").read_bytes()
    assert len(content) == known.flash_size - known.vfs_offset
    assert "main.py" in image.read(content)
    assert (where / "firmware.bin").read_bytes() == path.read_bytes()
    assert json.loads((where / "plan.json").read_text())["board"] == board


def test_a_dry_run_alone_writes_and_remembers_nothing(firmware: str, said: Said) -> None:
    assert flash("--dry-run", "--firmware", firmware, "--json") == 0
    value = json.loads(said()[0])
    assert value["files"] == []
    assert value["board"] == "ESP32_GENERIC"  # the file tells the chip
    assert not config.home().exists()


def test_images_for_later_leave_their_key_here(firmware: str, tmp_path: Path) -> None:
    where = tmp_path / "out"
    for _ in range(2):
        assert flash("-o", str(where), "--firmware", firmware, "--name", "desk") == 0
    (known,) = config.devices()
    stored = json.loads(image.read((where / "littlefs.bin").read_bytes())["kodkod.json"])
    assert (known.id, known.key) == (stored["id"], stored["key"])


def test_the_list_of_boards(said: Said) -> None:
    assert flash("--list-boards") == 0
    out, _ = said()
    for board in boards.all_boards():
        assert board.name in out
    assert flash("--list-boards", "--json") == 0
    assert {one["name"] for one in json.loads(said()[0])} == {
        board.name for board in boards.all_boards()
    }


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--dry-run"], "which --board"),
        (["--dry-run", "--board", "TOASTER"], "no board 'TOASTER'"),
        (["--board", "TOASTER"], "no board 'TOASTER'"),
        (["--keep", "--erase"], "not allowed with"),
        (["--keep", "--dry-run"], "--keep needs the board"),
        (["--no-wifi", "--wifi-ssid", "x"], "exclude each other"),
        (["--wifi-open", "--wifi-password", "x", "--wifi-ssid", "y"], "exclude each other"),
        (["--wifi-password", "swordfish"], "needs --wifi-ssid"),
        (["--dry-run", "--board", "ESP32_GENERIC", "--wifi-ssid", "x"], "password of 'x' is miss"),
        (["--baud", "fast"], "no speed"),
        (["--port", "P", "--before", "magic"], "invalid choice"),
        (["--dry-run", "--firmware", "nowhere.bin"], "no firmware file nowhere.bin"),
        (["--firmware", "nowhere.bin"], "no firmware file nowhere.bin"),
        (["--wait", "nan"], "no number of seconds"),
        (["--wait", "-1"], "no number of seconds"),
        (["--wifi-ssid", ""], "'' cannot name a Wi-Fi network"),
        (["--name", ""], "'' cannot name a device"),
        (["--port", "/"], "/ is no serial port"),
        (["--port", "magic://board"], "no URL that pyserial knows"),
        (["--port", "rfc2217://host:99999"], "no URL that pyserial knows"),
        (["--port", "rfc2217://host"], "no URL that pyserial knows"),
        (["--wifi-open"], "--wifi-open needs --wifi-ssid"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: list[str], says: str, said: Said
) -> None:
    assert flash(*arguments) == 2
    out, err = said()
    assert not out
    assert len(err.splitlines()) == 1
    assert says in err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--name", "my desk"], "cannot name a device"),
        (["--name", "x" * 33], "cannot name a device"),
        (["--wifi-ssid", "s" * 33, "--wifi-open"], "cannot name a Wi-Fi"),
        (["--wifi-ssid", "home", "--wifi-password", "short"], "8 to 63 characters"),
        (["--flash-size", "huge"], "no flash size"),
        (["--flash-size", "²MB"], "no flash size"),
        (["--flash-size", "4096MB"], "no flash size up to 128MB"),
        (["--name", "sim"], "-d sim means something else"),
    ],
)
def test_a_value_the_device_could_not_use_is_refused(
    options: list[str], says: str, firmware: str, said: Said
) -> None:
    assert flash("--dry-run", "--firmware", firmware, *options) == 2
    assert says in said()[1]


@pytest.mark.parametrize("key", ["Ctrl-C", "Ctrl-D"])
def test_no_answer_to_the_password_question_ends_it(
    key: str, firmware: str, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    def typed(_: str) -> str:
        raise KeyboardInterrupt if key == "Ctrl-C" else EOFError

    monkeypatch.setattr("kod.person.may_ask", lambda: True)
    monkeypatch.setattr("getpass.getpass", typed)
    assert flash("--dry-run", "--firmware", firmware, "--wifi-ssid", "home") == 130
    assert said()[1] == ""


def test_the_password_may_come_from_the_environment(
    firmware: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOD_WIFI_SSID", "home")
    monkeypatch.setenv("KOD_WIFI_PASSWORD", "swordfish")
    where = tmp_path / "out"
    assert flash("-o", str(where), "--firmware", firmware) == 0
    stored = json.loads(image.read((where / "littlefs.bin").read_bytes())["kodkod.json"])
    assert stored["wifi"] == [["home", "swordfish"]]


def test_without_a_port_it_says_what_to_plug_in(
    said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports.list_ports, "comports", list)
    assert flash() == 3
    assert "no serial port with a board was found" in said()[1]


def test_nothing_is_written_where_the_key_could_not_be_kept(
    board: FakeEsp32, firmware: str, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOD_HOME", "/dev/null/kod")
    assert flash("--port", "loop://", "--firmware", firmware, "--no-wifi") == 1
    assert "/dev/null/kod, where keys of devices are kept, cannot be written" in said()[1]
    assert board.flash == b"\xff" * len(board.flash)


def test_a_full_disk_is_one_line(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> bytes:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("kod.flash.firmware.chip_of", full)
    assert flash("--firmware", "x.bin") == 1
    assert said()[1] == "kod: this computer says: No space left on device\n"


def test_with_several_ports_it_asks_for_one(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [ports.Port(f"/dev/ttyUSB{n}", "bridge", "FTDI", "") for n in range(2)]
    monkeypatch.setattr(ports, "all_ports", lambda: found)
    assert flash() == 3
    assert "several ports (/dev/ttyUSB0, /dev/ttyUSB1): say which by --port" in said()[1]


def test_names_that_are_made_up_are_valid_and_differ() -> None:
    made = [plan.new_settings(None, []) for _ in range(30)]
    assert len({one["name"] for one in made}) > 20
    assert len({one["key"] for one in made}) == 30


# --- what a console says ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "up", "host", "trouble"),
    [
        (["kodkod: desk at 192.168.4.7:9190"], True, "192.168.4.7", ""),
        (["[kodkod] up"], True, "", ""),
        (["[kodkod] boot 3 of 3"], False, "", ""),
        (["[clock] Traceback (most recent call last):"], False, "", ""),
        (["[kodkod] task: Traceback (most recent call last):"], False, "", "its start failed"),
        (["I (31) wifi: sta ip: 10.0.0.2"], False, "", ""),
        (["invalid header: 0xffffffff"], False, "", "no firmware"),
        (["rst:0x1 (POWERON_RESET)", "waiting for download"], False, "", "let go of BOOT"),
        (["Traceback (most recent call last):", "ImportError"], False, "", "its start failed"),
        ([">>> "], False, "", ""),
        (["\x04\x04>Traceback (most recent call last):"], False, "", "its start failed"),
        (["OK\x04\x04>[kodkod] desk (aa) is up"], True, "", ""),
        (['  File "/lib/kodkod/system/boot.py", line 3, in main'], False, "", ""),
    ],
)
def test_the_console_tells_how_the_start_went(
    lines: list[str], up: bool, host: str, trouble: str
) -> None:
    heard = Heard()
    for line in lines:
        heard.line(line)
    assert (heard.up, heard.host) == (up, host)
    assert trouble in heard.trouble
    assert bool(heard.trouble) == bool(trouble)
