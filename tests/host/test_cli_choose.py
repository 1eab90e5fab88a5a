"""Which device is meant, what is remembered, and what is heard in the network."""

from __future__ import annotations

import errno
import io
import os
import socket
import stat
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import link_lab
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kod import Device, choose, config, discover, library, micropython, simulated
from kod.config import Known
from kod.errors import BadInput, NotAllowed, NotThere, UserError
from kodkod import message
from kodkod.errors import AuthFailed

KEY = "00112233445566778899aabbccddeeff"
DESK = Known("aabbccddeeff", "desk", KEY, "10.0.0.5", 9190)
PORCH = Known("aabbcc112233", "porch", KEY, "10.0.0.6", 9190)
OTHER_DESK = Known("998877665544", "desk", KEY, "10.0.0.7", 9191)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KOD_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(choose, "SCAN_S", 0.05)
    return tmp_path / "home"


def know(*devices: Known) -> None:
    for device in devices:
        config.remember(device)


def test_what_is_remembered_is_for_its_owner_only(home: Path) -> None:
    os.umask(0o000)
    try:
        know(DESK)
    finally:
        os.umask(0o022)
    path = home / "devices" / "aabbccddeeff.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert config.devices() == [DESK]


def test_a_damaged_record_is_named(home: Path) -> None:
    know(DESK)
    path = home / "devices" / "aabbccddeeff.json"
    desk = '{"id": "aabbccddeeff", "name": "desk", '
    wrong = ('"key": 5}', '"key": "zz"}', '"folder": 5}', '"console": 7}', '"host": "\\u0000"}')
    ports = ('"port": 99999}', '"port": "z"}', '"port": -1}', '"port": true}')
    records = [desk + rest for rest in wrong + ports]
    for text in ("{", "[]", '{"id": 5}', "\x00", '{"x": ' + "[" * 5000, *records):
        path.write_text(text)
        with pytest.raises(UserError, match=r"aabbccddeeff\.json"):
            config.devices()


def test_fields_of_a_later_kod_do_not_matter(home: Path) -> None:
    config.write_private(
        home / "devices" / "aabbccddeeff.json",
        {"id": "aabbccddeeff", "name": "desk", "key": KEY, "colour": "red"},
    )
    assert config.devices()[0].name == "desk"


@pytest.mark.parametrize("spec", ["desk", "aabbccddeeff", "AABBCCDDEEFF", "aabbccd", "10.0.0.5"])
def test_a_known_device_is_found_by_name_id_part_of_an_id_and_address(spec: str) -> None:
    know(DESK, PORCH)
    assert choose.target(spec).known == DESK


def test_two_devices_of_one_name_are_told_apart_by_id() -> None:
    know(DESK, OTHER_DESK)
    with pytest.raises(NotThere, match=r"2 devices are called 'desk': desk \(998877665544"):
        choose.target("desk")
    assert choose.target("998877665544").known == OTHER_DESK


def test_of_several_devices_of_one_name_each_has_a_label_of_its_own() -> None:
    know(DESK, OTHER_DESK, PORCH)
    labels = choose.labels(choose.targets([], every=True))
    assert sorted(labels) == [f"desk ({OTHER_DESK.id})", f"desk ({DESK.id})", "porch"]
    with pytest.raises(NotThere, match=r"choose with -d ID$"):
        choose.target("desk")


def test_a_device_that_is_named_twice_is_meant_once() -> None:
    know(DESK, PORCH)
    both = choose.targets(["desk", "porch", DESK.id, "desk"])
    assert [one.known for one in both] == [DESK, PORCH]


def test_an_id_that_begins_two_is_not_guessed() -> None:
    know(DESK, PORCH)
    with pytest.raises(NotThere, match="2 devices are called 'aabbcc'"):
        choose.target("aabbcc")


@pytest.mark.parametrize(
    "spec", ["/dev/ttyUSB0", "/dev/ttyACM1", "COM7", "rfc2217://10.0.0.9:4000", "/dev/pts/3"]
)
def test_serial_ports_and_urls_are_consoles(spec: str) -> None:
    assert choose.target(spec).console == spec


@pytest.mark.parametrize(
    ("spec", "place"),
    [
        ("10.0.0.5", ("10.0.0.5", 9190)),
        ("10.0.0.5:80", ("10.0.0.5", 80)),
        ("[fe80::1]:80", ("fe80::1", 80)),
        ("[fe80::1]", ("fe80::1", 9190)),
        ("desk.local", ("desk.local", 9190)),
        ("localhost", ("localhost", 9190)),
        ("localhost:1234", ("localhost", 1234)),
        ("desk", None),
        ("desk:", None),
        ("10.0.0.5:0", None),
        ("10.0.0.5:65536", None),
        ("a b:5", None),
        ("10.0.0.5:²", None),
        ("10.0.0.5:" + "9" * 5000, None),
        ("a" * 64 + ".b", None),
        ("", None),
    ],
)
def test_addresses(spec: str, place: tuple[str, int] | None) -> None:
    assert choose.address(spec) == place


def test_without_d_the_project_decides(tmp_path: Path) -> None:
    know(DESK, PORCH)
    config.set_last_used(DESK.id)
    (tmp_path / "kodkod.toml").write_text('device = "porch"')
    assert [one.known for one in choose.targets([])] == [PORCH]
    (tmp_path / "kodkod.toml").write_text('device = ["porch", "desk"]')
    assert [one.known for one in choose.targets([])] == [PORCH, DESK]
    assert [one.known for one in choose.targets(["desk"])] == [DESK]


@pytest.mark.parametrize("text", ["device = 5", "device = [1]", "device ="])
def test_a_wrong_project_file_is_said(tmp_path: Path, text: str) -> None:
    know(DESK)
    (tmp_path / "kodkod.toml").write_text(text)
    with pytest.raises(BadInput, match=r"kodkod\.toml"):
        choose.targets([])


def test_without_d_and_project_the_last_used_is_taken() -> None:
    know(DESK, PORCH)
    config.set_last_used(PORCH.id)
    assert choose.targets([])[0].known == PORCH


def test_the_only_device_needs_no_choice() -> None:
    know(DESK)
    assert choose.targets([])[0].known == DESK


def test_a_choice_without_a_terminal_is_an_error_that_lists_them() -> None:
    know(DESK, PORCH)
    with pytest.raises(NotThere, match=r"2 devices are known: desk .*porch .*-d NAME"):
        choose.targets([])


@pytest.mark.parametrize(("typed", "chosen"), [("1", DESK), ("2", PORCH), ("", None), ("3", None)])
def test_at_a_terminal_a_person_chooses(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typed: str,
    chosen: Known | None,
) -> None:
    know(DESK, PORCH)
    keyboard = io.StringIO(typed + "\n")
    monkeypatch.setattr(keyboard, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", keyboard)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    if chosen:
        assert choose.targets([])[0].known == chosen
    else:
        with pytest.raises(NotThere, match="none was chosen"):
            choose.targets([])
    out, err = capsys.readouterr()
    assert out == ""
    assert "1  desk (aabbccddeeff, 10.0.0.5:9190)" in err


def test_a_simulated_device_that_does_not_run_is_no_choice(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    know(DESK, Known("1234567890ab", "sim", KEY, "127.0.0.1", 9190, folder=str(tmp_path / "gone")))
    assert choose.targets([])[0].known == DESK
    assert [one.known for one in choose.targets([], every=True)] == [DESK]


def test_a_folder_of_devices_that_cannot_be_read_is_not_taken_for_an_empty_one(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(folder: Path) -> list[str]:
        raise PermissionError(errno.EACCES, "Permission denied", str(folder))

    know(DESK)
    monkeypatch.setattr(os, "listdir", denied)
    with pytest.raises(PermissionError):
        config.devices()


def test_a_device_called_sim_is_meant_before_any_simulated_one(tmp_path: Path) -> None:
    called_sim = Known("1234567890ab", "sim", KEY, "127.0.0.1", 9190, folder=str(tmp_path))
    know(DESK, called_sim)
    assert choose.target("sim").known == called_sim


@pytest.mark.parametrize("name", ["host", "sim"])
def test_a_word_of_d_names_no_device(name: str) -> None:
    with pytest.raises(BadInput, match=f"-d {name} means something else"):
        config.check_name(name, config.WORDS)


def test_a_host_that_cannot_be_is_not_there() -> None:
    assert not simulated.answers("a" * 300, 1)
    assert discover.probe("a" * 300) is None


def test_of_simulated_devices_that_do_not_run_none_is_called_unknown(tmp_path: Path) -> None:
    know(Known("1234567890ab", "box", KEY, "127.0.0.1", 9190, folder=str(tmp_path)))
    for every in (False, True):
        with pytest.raises(NotThere, match="none runs; kod simulate --name starts one"):
            choose.targets([], every)


def test_a_forgotten_last_used_device_is_no_device() -> None:
    know(DESK, PORCH)
    config.set_last_used(PORCH.id)
    config.forget(PORCH)
    assert choose.targets([])[0].known == DESK


def test_a_stranger_at_an_address_is_refused_for_its_missing_key() -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        with pytest.raises(NotAllowed, match="no key is known here"):
            choose.target(f"127.0.0.1:{port}")


def test_of_two_that_have_been_at_an_address_none_is_guessed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as there:
        host, port = there.getsockname()
        know(replace(DESK, host=host, port=port), replace(PORCH, host=host, port=port))
        with pytest.raises(NotThere, match=r"2 devices have been at 127.*choose with -d NAME"):
            choose.target(f"{host}:{port}")


# --- what is heard


def beacon(name: str = "desk", device_id: str = "aabbccddeeff", port: int = 9190) -> bytes:
    return bytes(message.pack(["kodkod", 1, name, device_id, "esp32", "0.1.0", port]))


def test_a_beacon_is_understood() -> None:
    found = discover.parse(beacon(), "10.0.0.5")
    assert found == discover.Found("desk", "aabbccddeeff", "esp32", "0.1.0", "10.0.0.5", 9190)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        ["kodkod"],
        ["kodkod", 2, "desk", "aa", "esp32", "0.1.0", 9190],
        ["other", 1, "desk", "aa", "esp32", "0.1.0", 9190],
        ["kodkod", 1, b"desk", "aa", "esp32", "0.1.0", 9190],
        ["kodkod", 1, "desk", "aa", "esp32", "0.1.0", "9190"],
        ["kodkod", 1, "desk", "aa", "esp32", "0.1.0", 0],
        ["kodkod", 1, "desk", "aa", "esp32", "0.1.0", 65536],
        ["kodkod", 1, "de\x1b[2Jsk", "aa", "esp32", "0.1.0", 9190],
        ["kodkod", 1, "x" * 65, "aa", "esp32", "0.1.0", 9190],
        {"kodkod": 1},
    ],
)
def test_what_is_no_beacon_is_ignored(value: object) -> None:
    assert discover.parse(bytes(message.pack(value)), "10.0.0.5") is None


@given(st.binary(max_size=200))
def test_garbage_is_no_beacon(data: bytes) -> None:
    assert discover.parse(data, "10.0.0.5") is None


@given(st.integers(0, 40), st.binary(min_size=1, max_size=4))
def test_a_damaged_beacon_is_a_beacon_or_ignored(at: int, noise: bytes) -> None:
    data = bytearray(beacon())
    data[at : at + len(noise)] = noise
    found = discover.parse(bytes(data), "10.0.0.5")
    assert found is None or found.name.isprintable()


@pytest.fixture
def loopback(monkeypatch: pytest.MonkeyPatch) -> int:
    """A port of its own for beacons, so that no other device of this computer is heard."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(discover, "BEACON_PORT", port)
    return port


def test_a_probe_gets_its_answer(loopback: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
        device.bind(("127.0.0.1", loopback))

        def answer() -> None:
            asked, sender = device.recvfrom(100)
            assert asked == discover.PROBE
            device.sendto(b"noise", sender)
            device.sendto(beacon(), sender)

        thread = threading.Thread(target=answer)
        thread.start()
        found = discover.probe("127.0.0.1", 5)
        thread.join()
    assert found
    assert found.id == "aabbccddeeff"


def test_a_probe_of_nothing_ends(loopback: int) -> None:
    assert discover.probe("127.0.0.1", 0.2) is None


def test_a_scan_hears_each_device_once_and_stops_at_the_one_meant(loopback: int) -> None:
    stop = threading.Event()

    def devices() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
            while not stop.wait(0.02):
                for data in (b"noise", beacon(), beacon("porch", "aabbcc112233", 9000)):
                    device.sendto(data, ("127.0.0.1", loopback))

    thread = threading.Thread(target=devices)
    thread.start()
    try:
        heard = discover.scan(30, until=lambda one: one.name == "porch")
    finally:
        stop.set()
        thread.join()
    assert [one.name for one in heard] == ["desk", "porch"]


def test_the_devices_own_beacon_is_heard_and_answers_a_probe(loopback: int) -> None:
    program = (
        "import asyncio; from kodkod.link import beacon; asyncio.run(beacon.announce("
        f"'desk', 'aabbccddeeff', 'esp32', '0.1.0', 9190, '127.255.255.255', {loopback}))"
    )
    device = subprocess.Popen(
        [*micropython.command(), "-c", program],
        env={**os.environ, "MICROPYPATH": f".frozen:{library.library_folder().parent}"},
    )
    try:
        heard = discover.scan(20, until=lambda one: True)
        assert [(one.id, one.port) for one in heard] == [("aabbccddeeff", 9190)]
        probed = discover.probe("127.0.0.1", 20)
        assert probed
        assert probed.name == "desk"
    finally:
        device.kill()
        device.wait()


def test_a_device_that_moved_is_found_by_its_id(
    loopback: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        discover, "scan", lambda seconds, until: [discover.parse(beacon(port=9999), "10.0.0.77")]
    )
    again = choose.find_again(DESK)
    assert again
    assert (again.host, again.port, again.key) == ("10.0.0.77", 9999, KEY)
    assert choose.find_again(PORCH) is None


def test_a_device_whose_address_another_has_now_is_found_by_its_id(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other, desk = link_lab.Device(key=bytes(16)), link_lab.Device()
    heard: list[discover.Found] = []
    monkeypatch.setattr(discover, "scan", lambda seconds, until: heard)
    try:
        known = Known(DESK.id, "desk", link_lab.KEY.hex(), "127.0.0.1", other.port)
        know(known)
        with pytest.raises(AuthFailed):
            Device.find("desk")
        heard.append(discover.Found("desk", DESK.id, "esp32", "0.1.0", "127.0.0.1", desk.port))
        with Device.find("desk") as device:
            assert device.address == f"127.0.0.1:{desk.port}"
    finally:
        other.stop()
        desk.stop()


def test_of_several_that_bear_a_name_the_one_is_meant_whose_key_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    know(PORCH)  # it bears another name now
    heard = [
        discover.Found("attic", "000000000001", "esp32", "0.1.0", "10.0.0.1", 9190),
        discover.Found("attic", PORCH.id, "esp32", "0.1.0", "10.0.0.2", 9190),
    ]
    monkeypatch.setattr(discover, "scan", lambda seconds, until: heard)
    assert choose.target("attic").known.host == "10.0.0.2"
    heard.pop()
    with pytest.raises(NotAllowed, match="its key is not known here"):
        choose.target("attic")
