"""The app park: one app for each way to misbehave, beside a well-behaved provider and its user.

Each file of tests/apps/park says in its first lines how it must end. All run one after the other
in one kernel, each several times; the well-behaved fail at the first message that is missing.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from interpreter import ROOT, micropython
from kod.micropython import unix_port

TESTS = ROOT / "tests"
DEEP = os.environ.get("KODKOD_DEEP") == "1"
ROUNDS = 10 if DEEP else 3
LIMIT_MS = 100
HEAP_B = 512  # what may be left after a round: text that was interned, a table that has grown
PARK_FOLDER = TESTS / "apps" / "park"
PARK = sorted(path.stem for path in PARK_FOLDER.glob("*.py"))
LAST = "endless_catches_all"  # only a reset helps
HARDWARE = [name for name in PARK if "# hardware" in (PARK_FOLDER / f"{name}.py").read_text()]
HOST = [name for name in PARK if name not in (LAST, *HARDWARE)]
# On fakes of an ESP32's hardware; what waits in a C call of this computer cannot be there.
LANE = [name for name in PARK if name not in (LAST, "sleeps", "waits_for_a_socket")]
# Where interrupts are scheduled, those that are to be interrupted.
SCHEDULED = [
    name for name in LANE if "# ends: runaway" in (PARK_FOLDER / f"{name}.py").read_text()
]
DEVICE = ""  # among the names of apps
Answers = dict[str, dict[str, Any]]


def run_park(names: list[str], rounds: int, heap: str = "4m") -> tuple[Answers, str, int]:
    """What the device said of each app, all its output, its exit code."""
    command = [*micropython(), "-X", f"heapsize={heap}", "../apps/park_device.py", str(TESTS)]
    path = os.pathsep.join([str(ROOT / "lib"), str(TESTS / "unit"), ".frozen"])
    device = subprocess.Popen(
        [*command, str(rounds), str(LIMIT_MS), *names],
        cwd=TESTS / "unit",
        env={**os.environ, "MICROPYPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        data, _ = device.communicate(timeout=600 if DEEP else 100)
    except subprocess.TimeoutExpired:
        print(f"it hangs: {where(device.pid)}")
        device.send_signal(signal.SIGINT)  # the kernel ends, and says what it was at
        data, _ = ended(device)
    output = data.decode("utf-8", "replace")
    answers = [json.loads(line) for line in output.splitlines() if line.startswith('{"')]
    return {answer["name"]: answer for answer in answers}, output, device.returncode


def where(pid: int) -> list[str]:
    """What each thread of a process waits for, where the system tells it."""
    tasks = Path(f"/proc/{pid}/task")
    return [(task / "stat").read_text() for task in tasks.iterdir()] if tasks.is_dir() else []


def ended(device: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    try:
        return device.communicate(timeout=10)
    except subprocess.TimeoutExpired:
        device.kill()
        return device.communicate()


def whole_park(*names: str, rounds: int) -> Answers:
    answers, output, code = run_park([*names], rounds)
    told = [line for line in output.splitlines() if not line.startswith('{"')]
    end = [f"the device ended with {code}, the last it said:", *told[-30:]]
    return {**answers, DEVICE: {"end": "\n".join(end)}}


@pytest.fixture(scope="module")
def park() -> Answers:
    return whole_park(*HOST, rounds=ROUNDS)


@pytest.fixture(scope="module")
def lane() -> Answers:
    return whole_park("lane", *LANE, rounds=ROUNDS if DEEP else 1)


@pytest.fixture(scope="module")
def lane29() -> Answers:
    return whole_park("lane29", *SCHEDULED, rounds=ROUNDS if DEEP else 1)


def check(answers: Answers, name: str) -> None:
    assert name in answers, answers[DEVICE]["end"]
    answer = answers[name]
    assert "failure" not in answer, answer["failure"]
    print(f"longest gaps of the others, ms: {answer['gaps']}; heap: {answer['heaps']}")
    wanted = answer["wanted"]
    assert answer["ends"] == wanted["ends"], answer["said"]
    assert answer["caller"] == wanted.get("caller gets")
    assert not answer["missing"], answer["said"]
    if wanted["ends"] in ("runaway", "failed", "memory"):
        assert answer["traceback"], "no traceback is left to read"
    heaps = answer["heaps"]
    # A leak is there in each of the last rounds; a stray word on a stack, which the collector
    # takes for a pointer, keeps something in one of them.
    last = heaps[-3:] if len(heaps) > 5 else heaps[-1:]
    growth = min(last) - heaps[len(heaps) > 1]
    assert growth <= HEAP_B, f"{growth} B are left of the last rounds"


@pytest.mark.parametrize("name", HOST)
def test_harms_nobody_else(park: Answers, name: str) -> None:
    check(park, name)


@pytest.mark.parametrize("name", LANE)
def test_harms_nobody_else_on_an_esp32(lane: Answers, name: str) -> None:
    check(lane, name)


@pytest.mark.parametrize("name", SCHEDULED)
def test_harms_nobody_else_where_interrupts_are_scheduled(lane29: Answers, name: str) -> None:
    check(lane29, name)


def test_what_waits_in_a_system_call_is_stopped_without_our_start_of_the_port_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MICROPYTHON", unix_port())  # as a build of one's own is named
    names = ["sleeps", "waits_for_a_socket"]
    answers = whole_park(*names, rounds=1)
    for name in names:
        check(answers, name)


@pytest.mark.parametrize("name", ["behaves", "crashes", "endless"])
def test_many_rounds_leave_the_heap_as_it_was(name: str) -> None:
    rounds = 50 if DEEP else 15
    answers, output, _ = run_park([name], rounds)
    assert name in answers, output
    heaps = answers[name]["heaps"]
    print(heaps)
    assert len(heaps) == rounds, answers[name]
    assert heaps[-1] - heaps[1] <= HEAP_B


def test_what_survives_every_interrupt_is_named_and_the_device_resets(tmp_path: Path) -> None:
    answers, output, code = run_park([LAST], 1)
    assert not answers, output
    assert code == -12, output  # SIGUSR2: the simulator starts such a device again
