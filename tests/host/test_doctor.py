"""kod doctor and kod port: what is seen, what is missing, and the step that mends it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import pty
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import kod
import pytest
from kod import config
from kod.cli import main
from kod.flash import doctor, ports
from kod.flash.doctor import Finding

INFO = {
    "name": "desk",
    "id": "0123456789ab",
    "chip": "esp32",
    "version": "1.26.1",
    "kodkod": kod.__version__,
    "mpy": [6, 3],
    "free_ram": 120_000,
    "free_flash": 1_500_000,
    "uptime_ms": 61_000,
    "boot_reason": "power",
    "safe_mode": None,
}


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("KOD_HOME", str(tmp_path / "home"))
    with open(os.devnull) as nobody:
        monkeypatch.setattr("sys.stdin", nobody)
        yield


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    """A port: what is written to the first is read at the second."""
    controller, slave = pty.openpty()
    yield controller, os.ttyname(slave)
    os.close(controller)
    os.close(slave)


def one(findings: Iterator[Finding] | list[Finding], subject: str) -> Finding:
    (found,) = [finding for finding in findings if finding.subject == subject]
    return found


def port(name: str) -> ports.Port:
    return ports.Port(name, "USB2.0-Serial", "CH340/CH910x (WCH)", "")


def test_a_healthy_computer_has_nothing_bad(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "serial_ports", lambda: iter(()))
    monkeypatch.setattr(doctor, "network", lambda: iter(()))
    assert main(["doctor"]) == 0
    out, _ = capfd.readouterr()
    assert f"kod: {kod.__version__}" in out
    assert "esptool 5." in out
    assert ".mpy version 6" in out


def test_for_machines_it_is_one_list(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = Finding("bad", "x", "broken", "mend it")
    monkeypatch.setattr(doctor, "computer", lambda: iter([bad]))
    assert main(["doctor", "--json"]) == 1
    assert json.loads(capfd.readouterr()[0]) == [vars(bad)]


def test_a_missing_tool_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    original = importlib.metadata.version

    def version(name: str) -> str:
        if name == "mpremote":
            raise importlib.metadata.PackageNotFoundError(name)
        return original(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    found = [finding for finding in doctor.versions() if finding.state == "bad"]
    assert [finding.text for finding in found] == ["missing: mpremote"]


def test_a_missing_unix_port_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROPYTHON", "/nowhere/micropython")
    found = one(doctor.versions(), "unix port")
    assert found.state == "warn"
    assert "/nowhere/micropython" in found.step


@pytest.mark.skipif(os.name != "posix", reason="file modes")
def test_keys_that_others_can_read_are_found(tmp_path: Path) -> None:
    config.remember(config.Known(id="0123456789ab", name="desk"))
    assert one(doctor.memory(), "memory").state == "ok"
    (config.home() / "devices" / "0123456789ab.json").chmod(0o644)
    found = next(iter(doctor.memory()))
    assert found.state == "bad"
    assert found.step.startswith("chmod 600")


def test_a_record_that_cannot_be_read_is_named() -> None:
    path = config.home() / "devices" / "x.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    found = one(doctor.memory(), "memory")
    assert found.state == "bad"
    assert str(path) in found.text


# --- ports -----------------------------------------------------------------------------------


def test_no_port_says_what_to_plug_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "likely_ports", list)
    monkeypatch.setattr(doctor, "_bridges_without_port", lambda found: iter(()))
    (found,) = doctor.serial_ports()
    assert found.state == "warn"
    assert "carries data" in found.step


def test_a_port_without_permission_names_the_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ttyUSB0"
    path.touch()
    monkeypatch.setattr(ports, "likely_ports", lambda: [port(str(path))])
    monkeypatch.setattr("os.access", lambda *_: False)
    monkeypatch.setattr(ports, "port_group", lambda name: "uucp")
    found = one(doctor.serial_ports(), str(path))
    assert found.state == "bad"
    assert "no permission" in found.text
    assert "sudo usermod -a -G uucp $USER" in found.step


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_a_port_that_is_open_elsewhere_names_the_program(
    terminal: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "likely_ports", lambda: [port(terminal[1])])
    found = one(doctor.serial_ports(), terminal[1])
    assert found.state == "warn"
    assert f"(process {os.getpid()})" in found.text


def test_a_bridge_without_a_port_names_its_driver(tmp_path: Path) -> None:
    for name, vendor, tty in (("1-1", "1a86", ""), ("1-2", "10c4", "1-2:1.0/ttyUSB0")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "idVendor").write_text(vendor + "\n")
        if tty:
            (folder / tty).mkdir(parents=True)
    (tmp_path / "1-3").mkdir()
    (tmp_path / "1-3" / "idVendor").write_text("046d\n")  # a mouse
    assert list(doctor._bridges_without_port([], tmp_path)) == [("CH340", "ch341")]


@pytest.mark.parametrize(
    ("says", "state", "text"),
    [
        (b"\r\n>>> ", "ok", "MicroPython's prompt"),
        (b"[kodkod] up\r\n", "ok", "Kodkod runs there"),
        (b"invalid header: 0xffffffff\r\n", "bad", "no firmware"),
        (b"\xfe\x9a\x01\x80\xff" * 20, "bad", "no text"),
        (b"hello from Arduino\r\n", "warn", "something speaks"),
        (b"", "warn", "is silent"),
    ],
    ids=["prompt", "Kodkod", "empty flash", "noise", "another program", "silence"],
)
def test_listening_to_a_board(
    terminal: tuple[int, str], says: bytes, state: str, text: str
) -> None:
    def answer() -> None:  # opening a port clears what was there before
        os.read(terminal[0], 1)
        os.write(terminal[0], says)

    thread = threading.Thread(target=answer)
    thread.start()
    found = doctor.console(terminal[1], seconds=0.3)
    thread.join()
    assert (found.state, found.subject) == (state, terminal[1])
    assert text in found.text


def test_listening_to_a_port_that_is_not_there() -> None:
    found = doctor.console("/dev/ttyNONE9")
    assert found.state == "bad"
    assert "no port /dev/ttyNONE9" in found.text


# --- network ---------------------------------------------------------------------------------


def test_a_computer_without_a_network_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "own_address", lambda: "")
    (found,) = doctor.network()
    assert found.state == "warn"
    assert "in no network" in found.text


def test_a_broadcast_that_does_not_come_back_may_be_a_firewalls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor, "own_address", lambda: "192.168.4.2")
    monkeypatch.setattr(doctor, "_LOCAL_S", 0.05)
    monkeypatch.setattr(doctor.select, "select", lambda *_: ([], [], []))
    found = one(doctor.network(), "broadcast")
    assert found.state == "warn"
    assert "9191/udp" in found.step


def test_a_beacon_port_that_another_program_has_is_named() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("", 0))
        trouble = doctor.broadcast(taken.getsockname()[1])
    assert trouble is not None
    assert "cannot be opened" in trouble[0]


# --- devices ---------------------------------------------------------------------------------


def test_a_healthy_device_is_described() -> None:
    found = list(doctor.device(INFO))
    assert {finding.state for finding in found} == {"ok"}
    assert "MicroPython 1.26.1" in found[0].text
    assert "117 KB of RAM and 1464 KB of flash free" in found[1].text
    assert "61 s ago, by power" in found[2].text


@pytest.mark.parametrize(
    ("changes", "subject", "state", "text"),
    [
        ({"kodkod": "0.0.1"}, "library", "warn", "the device has 0.0.1"),
        ({"version": "1.25.0"}, "firmware", "bad", "too old"),
        ({"free_ram": 9000}, "memory", "warn", "8 KB of RAM"),
        ({"safe_mode": "3 boots"}, "safe mode", "bad", "no app was started: 3 boots"),
    ],
)
def test_what_a_device_lacks_is_said(
    changes: dict[str, object], subject: str, state: str, text: str
) -> None:
    found = one(doctor.device({**INFO, **changes}), subject)
    assert found.state == state
    assert text in found.text
    assert found.step


def test_a_device_that_does_not_answer_is_bad(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "computer", lambda: iter(()))
    monkeypatch.setattr("kod.discover.scan", lambda *_: [])
    assert main(["doctor", "-d", "nobody"]) == 1
    assert "no device 'nobody'" in capfd.readouterr()[0]


# --- kod port --------------------------------------------------------------------------------


def test_ports_are_listed_with_the_devices_at_them(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "all_ports", lambda: [port("/dev/ttyACM1"), port("/dev/ttyUSB0")])
    config.remember(config.Known(id="0123456789ab", name="desk", console="/dev/ttyUSB0"))
    ports.set_chosen("/dev/ttyACM1")
    assert main(["port"]) == 0
    lines = capfd.readouterr()[0].splitlines()
    assert "*" in lines[1]
    assert "desk" in lines[2]
    assert main(["port", "--json"]) == 0
    listed = json.loads(capfd.readouterr()[0])
    assert [(one["port"], one["device"], one["chosen"]) for one in listed] == [
        ("/dev/ttyACM1", "", True),
        ("/dev/ttyUSB0", "desk", False),
    ]


def test_no_ports_are_an_empty_list(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "all_ports", list)
    assert main(["port", "--json"]) == 0
    assert json.loads(capfd.readouterr()[0]) == []


def test_a_chosen_port_is_used_when_nobody_says_which(
    terminal: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "all_ports", lambda: [port("/dev/a"), port(terminal[1])])
    assert main(["port", "set", terminal[1]]) == 0
    assert ports.choose(None) == terminal[1]
    config.set_last_used("0123456789ab")  # in the same file
    assert ports.chosen() == terminal[1]
    assert main(["port", "clear"]) == 0
    assert ports.chosen() is None
    assert config.last_used() == "0123456789ab"


def test_a_port_may_be_chosen_that_does_not_look_like_a_boards(
    terminal: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "all_ports", lambda: [port("/dev/a"), port("/dev/b")])
    assert main(["port", "set", terminal[1]]) == 0
    assert ports.choose(None) == terminal[1]


def test_a_url_may_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "all_ports", list)
    assert main(["port", "set", "rfc2217://lab:4000"]) == 0
    assert ports.choose(None) == "rfc2217://lab:4000"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["set"], 2, "say which"),
        (["set", "/dev/ttyNONE9"], 3, "no port /dev/ttyNONE9"),
        (["choose"], 2, "invalid choice"),
    ],
)
def test_a_port_that_cannot_be_chosen(
    arguments: list[str], code: int, says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["port", *arguments]) == code
    assert says in capfd.readouterr()[1]
