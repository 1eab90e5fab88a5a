"""A new version that does not work gives way to the old one, and `kod install` says why."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from simulated_device import Result, SimulatedDevice, until

App = Callable[[str, str], Path]

OLD = """
import asyncio
async def main():
    with open("mine", "a") as file:
        file.write("kept")
    while True:
        print("the old one")
        await asyncio.sleep(0.05)
"""
RESETS = """
import asyncio
from kodkod.services import ServiceClient, ServiceSelector
DEVICE = ServiceSelector("b7f2a1de-0003-4c1e-9a53-6b6f646b6f64", 1, 0)
async def main():
    await asyncio.sleep_ms({})
    device = await ServiceClient(DEVICE).open()
    await device.invoke("reset", [])
    await asyncio.sleep(100)
"""
STUBBORN = """
def main():
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass
"""


@pytest.fixture(autouse=True)
def _old(bench: SimulatedDevice, app: App) -> Iterator[None]:
    """An old version that runs, on a device without boots that failed."""
    if (bench.folder / "rtc.bin").read_bytes()[2] > 1:
        bench.kod("reset")  # a person's does not count
        until(lambda: bench.kod("info", code=None).code == 0)
    with bench.connect() as device:
        device.install("clock", app("clock", OLD), wait=False)
    yield
    with bench.connect() as device:
        device.uninstall("clock")


def info(bench: SimulatedDevice) -> dict[str, Any]:
    with bench.connect() as device:
        return device.info("clock")


def replace(
    bench: SimulatedDevice, program: Path, *options: str, probation: str = "10s"
) -> Result:
    """What comes of a new version that has to fail."""
    old = info(bench)["id"]
    failed = bench.kod("install", "clock", program, "--probation", probation, *options, code=1)
    assert "\nkod: the new version of 'clock' failed; the one before it runs again" in failed.err
    record = info(bench)
    assert (record["id"], record["state"], record["probation"]) == (old, "running", 0)
    assert "probation_ms" not in record["settings"]
    assert (bench.folder / "data" / "clock" / "mine").read_text().startswith("kept")
    return failed


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("raise ValueError('no start')\n", (), r'File "new\.py", line 1.*\nValueError: no start'),
        (
            "import asyncio\nasync def main():\n    await asyncio.sleep(3)\n    1 / 0\n",
            (),
            r'File "new\.py", line 4, in main\nZeroDivisionError',
        ),
        (
            "def main():\n    while True: pass\n",
            ("--limit", "100ms"),
            r"runaway: no pause for 100 ms in new\.py, line 2",
        ),
        ("print('done')\n", ("--restart", "always"), "ended with code 0"),
        ("import sys\nsys.exit(4)\n", (), "ended with code 4"),
        (
            "def main():\n    kept = []\n    while True: kept.append(bytearray(10000))\n",
            (),
            r'File "new\.py", line 3, in main\nMemoryError',
        ),
    ],
    ids=["raises", "later", "runs away", "always", "exits", "memory"],
)
def test_the_old_version_runs_again_and_why_is_said(
    bench: SimulatedDevice, app: App, text: str, options: tuple[str, ...], said: str
) -> None:
    failed = replace(bench, app("new", text), *options)
    assert re.search(said, failed.err), failed.err


@pytest.mark.parametrize("after_ms", [0, 300])
def test_a_new_version_that_restarts_the_device_is_rolled_back(
    bench: SimulatedDevice, app: App, after_ms: int
) -> None:
    failed = replace(bench, app("new", RESETS.format(after_ms)))
    assert "the device restarted during its probation" in failed.err


def test_a_probation_that_safe_mode_interrupts_says_so(bench: SimulatedDevice, app: App) -> None:
    memory = bench.folder / "rtc.bin"
    memory.write_bytes(memory.read_bytes()[:2] + b"\3" + memory.read_bytes()[3:])  # failed boots
    failed = bench.kod("install", "clock", app("new", RESETS.format(300)), code=1)
    assert "safe mode, no app is started (3 boots in a row did not last 30 s" in failed.err
    assert "kod reset, and 'clock' is judged" in failed.err


def test_a_new_version_that_only_a_reset_can_stop_is_rolled_back(
    bench: SimulatedDevice, app: App
) -> None:
    failed = replace(bench, app("new", STUBBORN), "--limit", "100ms")
    assert "it ran away and nothing stopped it but a reset" in failed.err


def test_a_first_version_that_only_a_reset_can_stop_is_no_success(
    bench: SimulatedDevice, app: App
) -> None:
    stubborn = app("new", STUBBORN)
    failed = bench.kod("install", "other", stubborn, "--limit", "100ms", code=1)
    assert "'other' is installed but failed (quarantined)" in failed.err
    bench.kod("run", stubborn, "--limit", "100ms", code=4)
    until(
        lambda: "ran away: only a reset stopped it" in bench.kod("logs", "kodkod", code=None).out
    )
    bench.kod("uninstall", "other")


def test_an_app_that_ends_with_0_is_kept(bench: SimulatedDevice, app: App) -> None:
    done = bench.kod("install", "clock", app("new", "print('done')\n"), "--json").json()
    record = info(bench)
    assert (record["id"], record["state"], record["previous"]) == (done["id"], "ended", None)


def test_a_new_version_that_lives_through_its_probation_is_kept(
    bench: SimulatedDevice, app: App
) -> None:
    new = app("new", OLD.replace("old", "new"))
    done = bench.kod("install", "clock", new, "--probation", "300ms", "--json").json()
    record = info(bench)
    assert (record["id"], record["state"], record["previous"]) == (done["id"], "running", None)


def test_ready_ends_the_probation(bench: SimulatedDevice, app: App) -> None:
    new = app("new", OLD.replace("    while", "    import kodkod\n    kodkod.ready()\n    while"))
    bench.kod("install", "clock", new, "--probation", "1h")
    assert info(bench)["previous"] is None


def test_without_probation_a_new_version_stays_whatever_it_does(
    bench: SimulatedDevice, app: App
) -> None:
    new = app("new", "raise ValueError('as it is')\n")
    failed = bench.kod("install", "clock", new, "--no-probation", "--restart", "never", code=1)
    assert "is installed but failed" in failed.err
    assert bench.states() == {"clock": "failed"}


def test_who_does_not_wait_finds_the_old_version_back(bench: SimulatedDevice, app: App) -> None:
    old = info(bench)["id"]
    bench.kod("install", "clock", app("new", "raise ValueError\n"), "--no-wait")
    until(lambda: info(bench)["probation"] == 0)
    record = info(bench)
    assert (record["id"], record["state"]) == (old, "running")
