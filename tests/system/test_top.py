"""`kod top`: the device's time and messages by the app that takes them."""

from __future__ import annotations

import json
import signal

import pytest
from kod.cli.top import shares
from simulated_device import SimulatedDevice

BUSY = """
import asyncio, time
async def main():
    while True:
        start = time.ticks_ms()
        while time.ticks_diff(time.ticks_ms(), start) < 40:
            pass
        await asyncio.sleep_ms(40)
asyncio.run(main())
"""
SERVER = """
from kodkod import service, spawn
import asyncio
@service("top/echo")
class Echo:
    def echo(self, client, value):
        return value
"""
CALLER = """
import asyncio
from kodkod import connect
async def main():
    async with connect("top/echo", timeout_ms=5000) as echo:
        while True:
            await echo.echo(1)
            await asyncio.sleep_ms(20)
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def device(bench: SimulatedDevice, tmp_path_factory: pytest.TempPathFactory) -> SimulatedDevice:
    folder = tmp_path_factory.mktemp("top")
    for name, text in (("server", SERVER), ("caller", CALLER), ("busy", BUSY)):
        (folder / f"{name}.py").write_text(text)
        bench.kod("install", name, folder / f"{name}.py")
    return bench


def test_the_busiest_stands_first_and_messages_are_counted(device: SimulatedDevice) -> None:
    looks = device.kod("top", "-n", "2", "-i", "700ms", "--json").out.splitlines()
    assert len(looks) == 2
    last = json.loads(looks[1])
    rows = {row["name"]: row for row in last["apps"]}
    assert last["apps"][0]["name"] == "busy"
    assert rows["busy"]["cpu"] > rows["caller"]["cpu"]
    assert rows["server"]["messages_s"] > 0
    assert rows["busy"]["messages_s"] == 0
    assert last["free_ram"] > 0


def test_a_table_for_people(device: SimulatedDevice) -> None:
    lines = device.kod("top", "-n", "1", "-i", "200ms").out.splitlines()
    assert "of RAM free" in lines[0]
    assert lines[1].split()[:3] == ["NAME", "STATE", "CPU"]
    assert sorted(line.split()[0] for line in lines[2:]) == ["busy", "caller", "server"]


def test_ctrl_c_ends_it(device: SimulatedDevice) -> None:
    with device.popen("top", "-i", "100ms") as process:
        assert process.stdout
        assert "of RAM free" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (130, "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-n", "0"), "--count: at least 1"),
        (("-i", "1ms"), "at least 100ms"),
        (("-i", "soon"), "no duration"),
    ],
)
def test_bad_input_is_one_line(
    device: SimulatedDevice, arguments: tuple[str, ...], said: str
) -> None:
    result = device.kod("top", *arguments, code=2)
    assert said in result.err
    assert result.err.count("\n") == 1


def test_an_app_that_has_started_anew_is_not_counted_below_zero() -> None:
    before = {"uptime_ms": 1000, "apps": [{"name": "a", "gid": 3, "cpu_us": 900_000}]}
    after = {"uptime_ms": 2000, "apps": [{"name": "a", "gid": 4, "cpu_us": 100_000}]}
    assert [row["cpu"] for row in shares(before, after)] == [10.0]
    stopped = {"uptime_ms": 2000, "apps": [{"name": "a", "state": "stopped"}]}
    assert [row["cpu"] for row in shares(before, stopped)] == [0.0]


def test_apps_take_no_more_than_there_is_though_a_slow_device_is_asked_in_two_calls() -> None:
    before = {"uptime_ms": 1000, "apps": [{"name": "a", "gid": 3, "cpu_us": 0}]}
    after = {"uptime_ms": 2000, "apps": [{"name": "a", "gid": 3, "cpu_us": 1_280_000}]}
    assert [row["cpu"] for row in shares(before, after)] == [100.0]
