"""The simulated device as a machine: its flash, console, restarts and ends."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kod import Device, config, simulated, simulated_flash
from kod.errors import BadInput, UserError

KOD = [sys.executable, "-m", "kod"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KOD_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "flash"


class Machine:
    """A `kod simulate` process whose device runs the given program."""

    def __init__(self, folder: Path, program: str, *options: str) -> None:
        simulated_flash.prepare(folder, "bench", 0)
        (folder / "main.py").write_text(program)
        self.folder = folder
        self.process = subprocess.Popen(
            [*KOD, "simulate", "--folder", str(folder), "--baud", "0", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run_json(self) -> dict:
        """What run.json says, once the device runs."""
        until(lambda: simulated.running(self.folder) or self.process.poll() is not None)
        return simulated.running(self.folder) or {}

    def output(self, pattern: str) -> str:
        """What was printed, up to what matches."""
        seen = b""
        deadline = time.monotonic() + 20
        while not re.search(pattern, seen.decode(errors="replace")):
            assert time.monotonic() < deadline, seen
            if select.select([self.process.stdout], [], [], 0.1)[0]:
                data = os.read(self.process.stdout.fileno(), 4096)
                assert data, (seen, self.process.stderr.read())
                seen += data
        return seen.decode(errors="replace")

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Its exit code and what it said on stderr."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        _, said = self.process.communicate(timeout=20)
        return self.process.returncode, said.decode()


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.fixture
def machine(folder: Path) -> Iterator[Callable[..., Machine]]:
    made: list[Machine] = []

    def make(program: str, *options: str) -> Machine:
        made.append(Machine(folder, program, *options))
        return made[-1]

    yield make
    for one in made:
        one.process.kill()
        one.process.communicate()


def test_a_new_folder_becomes_a_flash_with_settings_only_its_owner_reads(folder: Path) -> None:
    flash = simulated_flash.prepare(folder, "desk", 0)
    path = folder / "kodkod.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    settings = json.loads(path.read_text())
    assert settings["name"] == "desk"
    assert len(bytes.fromhex(settings["key"])) == 16
    assert len(bytes.fromhex(settings["id"])) == 6
    assert settings["port"] == flash.settings["port"] > 0
    assert (folder / "lib/kodkod/errors.mpy").read_bytes()[:1] == b"M"
    assert (folder / "main.py").is_file()


def test_a_flash_keeps_its_identity_and_takes_a_new_name(folder: Path) -> None:
    first = simulated_flash.prepare(folder, "desk", 0).settings
    second = simulated_flash.prepare(folder, "porch", 0).settings
    assert (first["id"], first["key"]) == (second["id"], second["key"])
    assert simulated_flash.prepare(folder, None, 0).settings["name"] == "porch"


def test_two_devices_differ_in_id_and_key(tmp_path: Path) -> None:
    one = simulated_flash.prepare(tmp_path / "1", None, 0).settings
    two = simulated_flash.prepare(tmp_path / "2", None, 0).settings
    assert one["id"] != two["id"]
    assert one["key"] != two["key"]


def test_a_folder_with_other_files_is_refused_and_left_alone(folder: Path) -> None:
    folder.mkdir()
    (folder / "main.py").write_text("mine")
    with pytest.raises(BadInput, match="not empty"):
        simulated_flash.prepare(folder, None, 0)
    assert (folder / "main.py").read_text() == "mine"


@pytest.mark.parametrize("name", ["", "a b", "../x", "-d", "x" * 33, "naïve"])
def test_a_name_that_cannot_be_a_devices_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(BadInput, match="cannot name a device"):
        simulated_flash.prepare(folder, name, 0)


def test_the_library_is_written_again_only_when_it_differs(folder: Path) -> None:
    simulated_flash.prepare(folder, None, 0)
    (folder / "main.py").write_text("# by hand")
    simulated_flash.prepare(folder, None, 0)
    assert (folder / "main.py").read_text() == "# by hand"
    (folder / ".library").write_text("older")
    simulated_flash.prepare(folder, None, 0)
    assert (folder / "main.py").read_text() != "# by hand"


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"name": "x"}',
        '{"name": "x", "id": "a1", "key": "short"}',
        f'{{"name": "x", "id": "a1", "key": "{"0" * 32}", "port": "z"}}',
    ],
)
def test_damaged_settings_name_the_way_out_and_it_works(folder: Path, text: str) -> None:
    simulated_flash.prepare(folder, "desk", 0)
    (folder / "kodkod.json").write_text(text)
    with pytest.raises(UserError, match=f"; correct it, or remove the folder {folder} with all"):
        simulated_flash.prepare(folder, None, 0)
    shutil.rmtree(folder)
    assert simulated_flash.prepare(folder, None, 0).settings["name"] == "sim"


def test_a_port_in_use_is_said_in_one_line(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} is in use"):
            simulated_flash.prepare(folder, None, port)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_it_cleanly(machine: Callable[..., Machine], number: int, code: int) -> None:
    device = machine("import time\nprint('up')\nwhile True: time.sleep(1)")
    device.output("up")
    pid = device.run_json()["device_pid"]
    assert device.end(number)[0] == code
    assert not lives(pid)
    assert not (device.folder / "run.json").exists()
    assert simulated.running(device.folder) is None


def test_a_busy_device_ends_with_its_simulator_even_when_that_is_killed(
    machine: Callable[..., Machine],
) -> None:
    device = machine("print('up')\nwhile True: pass")
    device.output("up")
    pid = device.run_json()["device_pid"]
    device.process.kill()
    device.process.wait()
    until(lambda: not lives(pid))
    assert simulated.running(device.folder) is None


def test_what_the_device_started_ends_with_it(machine: Callable[..., Machine]) -> None:
    device = machine(
        "import os\nos.system('sleep 300 & echo helper $!')\nwhile True: pass",
    )
    helper = int(re.search(r"helper (\d+)", device.output(r"helper \d+\s")).group(1))
    device.end()
    until(lambda: not lives(helper))


def test_exit_code_75_starts_it_again_and_0_ends_it(machine: Callable[..., Machine]) -> None:
    device = machine(
        "import os, sys\n"
        "print('cause', os.getenv('KODKOD_RESET_CAUSE'))\n"
        "sys.exit(0 if os.getenv('KODKOD_RESET_CAUSE') == 'reset' else 75)"
    )
    said = device.output("cause reset")
    assert "cause power" in said
    device.process.wait(timeout=20)
    assert device.end()[0] == 0


def test_a_device_that_fails_says_so_and_exits_1(machine: Callable[..., Machine]) -> None:
    device = machine("raise ValueError('broken')")
    device.output("ValueError: broken")
    device.process.wait(timeout=20)
    code, said = device.end()
    assert code == 1
    assert "kod: simulated device 'bench' ended with code 1; its console says why" in said


def test_two_simulators_never_share_a_folder(machine: Callable[..., Machine]) -> None:
    device = machine("import time\nprint('up')\nwhile True: time.sleep(1)")
    device.output("up")
    second = subprocess.run(
        [*KOD, "simulate", "--folder", str(device.folder)], capture_output=True, text=True
    )
    assert second.returncode == 1
    assert "runs already" in second.stderr


READ_ALL = """
import sys, time, select
print('up')
poll = select.poll()
poll.register(sys.stdin, select.POLLIN)
time.sleep({sleep})
got = b''
while poll.poll(1000):
    byte = sys.stdin.buffer.read(1)
    if byte == b'!':
        break
    got += byte
print('got', len(got), got[:20].hex(), 'end')
while True: time.sleep(1)
"""


def test_every_byte_passes_the_console_raw(machine: Callable[..., Machine]) -> None:
    device = machine(READ_ALL.format(sleep=0))
    device.output("up")
    console = os.open(device.run_json()["console"], os.O_RDWR | os.O_NOCTTY)
    try:
        sent = bytes([0x00, 0x03, 0xFF, 0x04, 0x0D, 0x0A, 0x11, 0x13, 0x1A, 0x7F])
        os.write(console, sent + b"!")
        assert f"got 10 {sent.hex()} end" in device.output("end")
        until(lambda: select.select([console], [], [], 0)[0])
    finally:
        os.close(console)


def test_the_console_drops_what_does_not_fit_its_ring(machine: Callable[..., Machine]) -> None:
    device = machine(READ_ALL.format(sleep=1))
    device.output("up")
    console = os.open(device.run_json()["console"], os.O_RDWR | os.O_NOCTTY)
    try:
        os.write(console, bytes(range(10)) * 100)
        assert "got 260 0001020304050607080900" in device.output("end")
    finally:
        os.close(console)


def test_the_console_answers_whoever_opens_it_with_what_comes_then(
    machine: Callable[..., Machine],
) -> None:
    device = machine(
        "import sys\nprint('early')\nwhile True: print('echo', sys.stdin.buffer.read(1))"
    )
    device.output(r"early\s")
    path = device.run_json()["console"]
    for _ in range(3):
        console = os.open(path, os.O_RDWR | os.O_NOCTTY)
        try:
            os.write(console, b"x")
            got = b""
            while b"\n" not in got:
                assert select.select([console], [], [], 20)[0]
                got += os.read(console, 100)
            assert got.strip() == b"echo b'x'"
        finally:
            os.close(console)


LISTEN = """
import json, socket
with open('kodkod.json') as file:
    port = json.load(file)['port']
server = socket.socket()
server.bind(socket.getaddrinfo('127.0.0.1', port)[0][-1])
server.listen(4)
while True:
    server.accept()[0].close()
"""


def test_detached_it_returns_when_it_is_up_and_stop_ends_it(folder: Path) -> None:
    simulated_flash.prepare(folder, "bench", 0)
    (folder / "main.py").write_text(LISTEN)
    started = subprocess.run(
        [*KOD, "simulate", "--folder", str(folder), "--detach", "--json"],
        capture_output=True,
        text=True,
    )
    assert started.returncode == 0, started.stderr
    run = json.loads(started.stdout)
    try:
        assert simulated.answers(run["host"], run["port"])
        assert [known.name for known in config.devices()] == ["bench"]
    finally:
        stopped = subprocess.run(
            [*KOD, "simulate", "--folder", str(folder), "--stop", "--json"],
            capture_output=True,
            text=True,
        )
    assert stopped.returncode == 0
    facts = {"name": "bench", "id": run["id"], "folder": str(folder), "running": False}
    assert json.loads(stopped.stdout) == facts
    until(lambda: not lives(run["pid"]) and not lives(run["device_pid"]))
    again = subprocess.run(
        [*KOD, "simulate", "--folder", str(folder), "--stop"], capture_output=True
    )
    assert again.returncode == 3


def test_of_several_at_once_one_is_up_and_the_others_say_so(folder: Path) -> None:
    command = [*KOD, "simulate", "--name", "bench", "--folder", str(folder), "--detach"]
    at_once = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = [one.communicate(timeout=60)[1] for one in at_once]
    try:
        assert sorted(one.returncode for one in at_once) == [0, 1, 1], said
        refused = [text for one, text in zip(at_once, said, strict=True) if one.returncode]
        for text in refused:
            assert text.startswith("kod: simulated device 'bench' runs already (process "), text
        with Device.find("bench") as device:  # its key is the one that is remembered
            assert device.name == "bench"
    finally:
        subprocess.run([*KOD, "simulate", "--folder", str(folder), "--stop"], check=True)


def test_ctrl_c_while_a_detached_one_starts_leaves_nothing_behind(folder: Path) -> None:
    simulated_flash.prepare(folder, "bench", 0)
    (folder / "main.py").write_text("while True: pass")  # it never can be reached
    starting = subprocess.Popen(
        [*KOD, "simulate", "--folder", str(folder), "--detach"], stderr=subprocess.PIPE
    )
    until(lambda: simulated.running(folder))
    run = simulated.running(folder)
    starting.send_signal(signal.SIGINT)
    starting.communicate(timeout=20)
    assert starting.returncode == 130
    until(lambda: not lives(run["pid"]) and not lives(run["device_pid"]))


def test_a_detached_one_that_does_not_start_says_why(folder: Path) -> None:
    simulated_flash.prepare(folder, "bench", 0)
    (folder / "main.py").write_text("raise ValueError('broken')")
    started = subprocess.run(
        [*KOD, "simulate", "--folder", str(folder), "--detach"], capture_output=True, text=True
    )
    assert started.returncode == 1
    assert "ValueError: broken" in started.stderr
    assert started.stderr.splitlines()[-1].startswith(
        "kod: the simulated device did not start: simulated device 'bench' ended with code 1"
    )
