"""esptool as kod runs it, against a stand-in for the ROM loader: order, arguments, failures."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import fake_firmware
import pytest
from fake_rom_loader import FakeEsp32, FakePort
from kod.errors import LOST, NOT_FOUND, NotThere, Unreachable, UserError
from kod.flash import boards, esp, ports
from kod.flash.plan import Piece

FIRMWARE = Piece("firmware", 0x1000, fake_firmware.for_board(boards.by_name("ESP32_GENERIC")))
FILES = Piece("littlefs", 0x200000, b"\x01\x02" * 10000 + b"\xff" * 480)
DEEP = os.environ.get("KODKOD_DEEP") == "1"


@pytest.fixture
def chip() -> FakeEsp32:
    return FakeEsp32()


@pytest.fixture
def line(chip: FakeEsp32) -> Iterator[esp.Line]:
    with FakePort(chip) as port:
        yield esp.Line(port.url)


def silent(what: str, done: int, total: int) -> None:
    pass


def test_the_chip_its_address_and_its_flash_are_found(line: esp.Line, chip: FakeEsp32) -> None:
    found = esp.detect(line)
    assert (found.name, found.flash_size) == ("esp32", 4 << 20)
    assert found.description.startswith("ESP32-D0WDQ6")
    assert found.mac == "00:24:11:22:33:44"
    assert not any("WRITE" in call or "DEFL" in call for call in chip.calls)


@pytest.mark.parametrize("megabytes", [2, 8, 16] if DEEP else [16])
def test_any_size_of_flash_is_found(megabytes: int) -> None:
    with FakePort(FakeEsp32(megabytes << 20)) as port:
        assert esp.detect(esp.Line(port.url)).flash_size == megabytes << 20


def test_all_is_written_and_verified_in_one_run(line: esp.Line, chip: FakeEsp32) -> None:
    seen: list[tuple[str, int, int]] = []
    esp.write(line, "esp32", [FIRMWARE, FILES], progress=lambda *step: seen.append(step))
    for piece in (FIRMWARE, FILES):
        assert chip.flash[piece.offset : piece.end] == piece.data
    assert chip.calls.count("MD5") == 2
    assert chip.calls.count("SECURITY_INFO") <= 2  # one connection
    assert chip.calls.index("MD5") < len(chip.calls) - 1 - chip.calls[::-1].index("DEFL_BEGIN")
    total = len(FIRMWARE.data) + len(FILES.data)
    assert seen[-1] == ("written", total, total)
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)


def test_what_lies_beside_is_left_alone(line: esp.Line, chip: FakeEsp32) -> None:
    chip.flash[0x9000:0xA000] = b"n" * 0x1000  # nvs of a firmware that ends before it
    chip.flash[0x300000:0x300004] = b"apps"
    short = Piece("firmware", 0x1000, FIRMWARE.data[:0x4000])
    esp.write(line, "esp32", [short, FILES], progress=silent)
    assert chip.flash[0x9000:0xA000] == b"n" * 0x1000
    assert chip.flash[0x300000:0x300004] == b"apps"


def test_erase_wipes_the_whole_flash_first(line: esp.Line, chip: FakeEsp32) -> None:
    chip.flash[0x300000:0x300004] = b"apps"
    esp.write(line, "esp32", [FIRMWARE, FILES], erase=True, progress=silent)
    assert chip.flash[0x300000:0x300004] == b"\xff" * 4
    assert chip.calls.index("ERASE_ALL") < chip.calls.index("DEFL_BEGIN")


def test_the_flash_can_be_read(line: esp.Line, chip: FakeEsp32) -> None:
    chip.flash[0x200000:0x204000] = bytes(range(256)) * 64
    assert esp.read(line, "esp32", 0x200000, 0x4000, silent) == bytes(range(256)) * 64


def test_the_rom_alone_can_write(chip: FakeEsp32) -> None:
    with FakePort(chip) as port:
        line = esp.Line(port.url, stub=False)
        esp.write(line, "esp32", [FILES], progress=silent)
    assert chip.flash[FILES.offset : FILES.end] == FILES.data
    assert "MEM_BEGIN" not in chip.calls


def test_a_chip_whose_stub_still_runs_is_written_too(line: esp.Line, chip: FakeEsp32) -> None:
    esp.detect(line)
    assert chip.mode == "stub"  # as on a board that nothing resets
    chip.calls.clear()
    esp.write(line, "esp32", [FILES], progress=silent)
    assert "MEM_BEGIN" not in chip.calls
    assert chip.flash[FILES.offset : FILES.end] == FILES.data


def test_the_command_shown_to_people_is_the_one_that_runs() -> None:
    line = esp.Line("/dev/ttyUSB0", 460800)
    assert esp.write_command(line, "esp32", [FIRMWARE, FILES], erase=True) == (
        "esptool --chip esp32 --port /dev/ttyUSB0 --baud 460800 --before default-reset "
        "--after hard-reset write-flash --erase-all 0x1000 firmware.bin 0x200000 littlefs.bin"
    )
    quiet = esp.Line("rfc2217://host:4000?ign_set_control", before="no-reset", stub=False)
    assert quiet.arguments("auto", 115200, "no-reset") == [
        *("--chip", "auto", "--port", "rfc2217://host:4000?ign_set_control"),
        *("--baud", "115200", "--before", "no-reset", "--after", "no-reset", "--no-stub"),
    ]


# --- failures: one clear line each -----------------------------------------------------------


def fails(action: object, kind: type[UserError], *says: str) -> UserError:
    with pytest.raises(kind) as caught:
        action()  # type: ignore[operator]
    text = str(caught.value)
    assert "\n" not in text
    for part in says:
        assert part in text
    return caught.value


def test_a_stub_that_does_not_start_is_told_apart(line: esp.Line, chip: FakeEsp32) -> None:
    chip.fails_at = "MEM_DATA"
    fails(lambda: esp.detect(line), esp.StubFailed, "try --no-stub")


def test_another_chip_than_the_one_asked_for(line: esp.Line) -> None:
    fails(
        lambda: esp.write(line, "esp32c3", [FILES], progress=silent),
        UserError,
        "is ESP32, not ESP32-C3",
        "kod flash --list-boards",
    )


def test_a_flash_that_is_too_small() -> None:
    with FakePort(FakeEsp32(2 << 20)) as port:
        line = esp.Line(port.url)
        fails(lambda: esp.write(line, "esp32", [FILES], progress=silent), UserError, "too small")


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESPTOOL_CONNECT_ATTEMPTS", "1")  # esptool's own settings are heeded
    chip = FakeEsp32()
    chip.deaf = True
    with FakePort(chip) as port:
        error = fails(
            lambda: esp.detect(esp.Line(port.url)), Unreachable, "hold the BOOT button", "EN"
        )
    assert error.exit_code == LOST


@pytest.mark.parametrize("command", ["DEFL_BEGIN", "DEFL_DATA"])
def test_a_write_fails(line: esp.Line, chip: FakeEsp32, command: str) -> None:
    chip.fails_at = command
    fails(
        lambda: esp.write(line, "esp32", [FILES], progress=silent),
        UserError,
        "failed",
        "--baud 115200",
    )


def test_what_was_written_reads_back_different(line: esp.Line, chip: FakeEsp32) -> None:
    chip.corrupts = True
    fails(
        lambda: esp.write(line, "esp32", [FILES], progress=silent),
        UserError,
        "reads back different (MD5)",
        "--baud 115200",
    )


def test_no_such_port() -> None:
    error = fails(lambda: esp.detect(esp.Line("/dev/ttyNONE9")), NotThere, "no port /dev/ttyNONE9")
    assert error.exit_code == NOT_FOUND


def test_a_server_that_is_not_there() -> None:
    error = fails(
        lambda: esp.detect(esp.Line("rfc2217://127.0.0.1:1")),
        Unreachable,
        "rfc2217://127.0.0.1:1 cannot be opened",
        "is the server there running?",
    )
    assert error.exit_code == LOST


def test_a_server_that_hangs_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=lambda: server.accept()[0].close(), daemon=True).start()
        url = f"rfc2217://127.0.0.1:{server.getsockname()[1]}"
        error = fails(lambda: esp.detect(esp.Line(url)), Unreachable, url)
    assert error.exit_code == LOST


@pytest.mark.parametrize(
    "reason",
    [
        "Could not open serial port rfc2217://board:1: [Errno -2] Name or service not known",
        "could not open port rfc2217://board:1: [Errno 8] nodename nor servname provided",
        "could not open port rfc2217://board:1: [Errno -3] Temporary failure in name resolution",
    ],
)
def test_a_server_whose_host_is_unknown(reason: str) -> None:
    error = ports.cannot_open("rfc2217://board:1", reason)
    assert isinstance(error, Unreachable)
    assert str(error) == "rfc2217://board:1 cannot be opened: no such host is found"


def test_a_port_that_another_program_has_open() -> None:
    controller, terminal = pty.openpty()
    try:
        name = os.ttyname(terminal)
        holder = subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"import serial; p = serial.Serial({name!r}, exclusive=True); print('open', "
                "flush=True); input()",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        try:
            fails(lambda: esp.detect(esp.Line(name)), UserError, "in use by another program")
        finally:
            holder.communicate(b"\n")
    finally:
        os.close(controller)
        os.close(terminal)


OPEN = "A fatal error occurred: Could not open {}, the port is busy or doesn't exist.\n({})\n"


FATAL = "A fatal error occurred: "
OUTPUTS = {
    "permission": OPEN.format("P", "[Errno 13] could not open port P: Permission denied: 'P'"),
    "busy": OPEN.format("P", "[Errno 16] could not open port P: Device or resource busy: 'P'"),
    "busy, Windows": OPEN.format("P", "port 'P': PermissionError(13, 'Access is denied.')"),
    "gone, Windows": OPEN.format("P", "port 'P': FileNotFoundError(2, 'cannot find')"),
    "boot mode": FATAL + "Failed to connect to ESP32: Wrong boot mode detected (0x13)!",
    "TX": "Download mode successfully detected, but getting no sync reply: The serial TX path",
    "empty": FATAL + "Write failed, the written flash region is empty.",
    "unplugged": "A serial exception error occurred: device reports readiness to read",
    "stopped": FATAL + "The chip stopped responding.",
    "no esptool": "No module named esptool",
    "new": FATAL + "Something new.",
    "crash": "Traceback (most recent call last):\n  boom",
}


@pytest.mark.parametrize(
    ("case", "kind", "says"),
    [
        ("permission", UserError, "no permission to use P; run: sudo usermod"),
        ("busy", UserError, "P is in use by another program"),
        ("busy, Windows", UserError, "P is in use by another program"),
        ("gone, Windows", NotThere, "no port P"),
        ("boot mode", Unreachable, "hold the BOOT button"),
        ("TX", Unreachable, "check the TX line"),
        ("empty", UserError, "reads back different"),
        ("unplugged", Unreachable, "the line to P was lost"),
        ("stopped", Unreachable, "was lost"),
        ("no esptool", NotThere, "pip install"),
        ("new", UserError, "esptool failed on P: Something new"),
        ("crash", UserError, "no reason given"),
    ],
)
def test_every_failure_of_esptool_is_one_line(case: str, kind: type[UserError], says: str) -> None:
    error = esp.failure(OUTPUTS[case], esp.Line("P"))
    assert type(error) is kind
    assert says in str(error)
    assert "\n" not in str(error)


def test_a_failure_nobody_knows_shows_what_esptool_said() -> None:
    assert "boom" in esp.failure("Traceback:\n  boom", esp.Line("P")).detail


def test_ctrl_c_ends_esptool(line: esp.Line, chip: FakeEsp32, tmp_path: Path) -> None:
    chip.deaf = True  # esptool would go on trying
    begun = tmp_path / "begun"
    script = (
        "import pathlib, sys\n"
        "from kod.flash import esp\n"
        "run = esp.subprocess.Popen\n"
        "def popen(*a, **k):\n"
        "    p = run(*a, **k)\n"
        "    pathlib.Path(sys.argv[2]).write_text(str(p.pid))\n"
        "    return p\n"
        "esp.subprocess.Popen = popen\n"
        "esp.detect(esp.Line(sys.argv[1]))\n"
    )
    command = [sys.executable, "-c", script, line.port, str(begun)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)
    while not (begun.exists() and begun.read_text()):
        time.sleep(0.02)
    child = int(begun.read_text())
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_over_rfc2217_the_lines_reset_the_chip_before_and_after() -> None:
    chip = FakeEsp32()
    chip.mode = "app"
    with FakePort(chip, lines=True) as port:
        esp.write(esp.Line(port.url), "esp32", [FILES], progress=silent)
    assert chip.calls[0] == "boot rom"
    assert chip.calls[-1] == "boot app"
    assert chip.flash[FILES.offset : FILES.end] == FILES.data
    assert threading.active_count() < 10


class ShyEsp32(FakeEsp32):
    """Behind a server that takes every change of its lines for a wish, as esptool's does."""

    def __init__(self) -> None:
        self.changes: list[tuple[bool, bool]] = []
        self.speeds: list[int] = []
        super().__init__()
        self.mode = "app"

    def _change(self, dtr: bool, rts: bool) -> None:
        self.changes.append((dtr, rts))
        super()._change(dtr, rts)

    @property
    def baudrate(self) -> int:
        return self.speeds[-1]

    @baudrate.setter
    def baudrate(self, value: int) -> None:
        self.speeds.append(value)


def test_opening_a_console_over_rfc2217_leaves_the_board_alone() -> None:
    chip = ShyEsp32()
    with FakePort(chip, lines=True) as port:
        for _ in range(2):
            ports.open_console(port.url).close()
        with ports.open_console(port.url) as line:
            assert chip.changes == []
            line.rts = True  # who wants them to change is heard
            line.rts = False
    assert [rts for _, rts in chip.changes] == [True, False]
    assert chip.calls == ["boot app"]


def test_another_time_limit_is_not_negotiated_over_rfc2217() -> None:
    chip = ShyEsp32()
    with FakePort(chip, lines=True) as port, ports.open_console(port.url) as line:
        before = len(chip.speeds)
        for seconds in range(100):
            line.timeout = seconds
        assert len(chip.speeds) == before
        line.baudrate = 460800
        assert chip.speeds[before:] == [460800]
