"""The line is cut after every piece of an install and of a run: an error, or what was asked for.

Over TCP between the segments and within them, over the console after each frame.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from console_lab import DEEP, Line
from kod import Device, build, choose
from kod.config import Known, write_private
from kod.errors import NotThere, Unreachable
from kod.link import LinkLost
from middle import Counter, Cutter, Middle
from simulated_device import SimulatedDevice, until

LOST = (LinkLost, NotThere, Unreachable)
LINES = 30
KEY = "00112233445566778899aabbccddeeff"
WIFI = [["the-network", "the-password-of-it"]]
VERSION = """
print('this is version {}')
import asyncio
async def main():
    await asyncio.sleep(99)
"""
RUNS = """
import asyncio, sys
NOISE = {noise!r}
async def main():
    for n in range({lines}):
        print('line', n)
        await asyncio.sleep(0)
    sys.exit(3)
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatedDevice]:
    desk = SimulatedDevice(tmp_path_factory.mktemp("cut"), "desk", ("--baud", "0"))
    settings = {"name": "desk", "id": "0a1b2c3d4e5f", "key": KEY, "port": 0, "wifi": []}
    write_private(desk.folder / "kodkod.json", settings)
    desk.start()
    yield desk
    desk.stop()


@pytest.fixture
def near(desk: SimulatedDevice, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    """The device over a line that nobody cuts."""
    monkeypatch.setenv("KOD_HOME", str(desk.home))
    with desk.connect() as near:
        # What is known over the other lines is kept elsewhere.
        monkeypatch.setenv("KOD_HOME", str(desk.home) + "-far")
        yield near


class Worn:
    """A line to the device that ends after `left` pieces in a direction, or frames of both."""

    def __init__(self, desk: SimulatedDevice, way: str) -> None:
        self._desk = desk
        self._way = way
        self.counter = Counter()
        self.recorded = b"", b""  # what went by in either direction

    @contextmanager
    def line(self, left: int) -> Iterator[choose.Target]:
        if self._way == "console":
            with Line(self._desk.run_json["console"]) as line:
                line.cut_after(left)
                yield choose.Target(Known("", ""), console=line.port)
            return
        way, _, part = self._way.partition(", ")
        cutter = self.counter if left < 0 else Cutter(way, left, bool(part))
        with Middle(self._desk.run_json["port"], cutter) as middle:
            yield choose.Target(Known("", "", KEY, "127.0.0.1", middle.port))
            self.recorded = bytes(middle.recorded["up"]), bytes(middle.recorded["down"])


WAYS = ["up", "down", "up, within", "down, within", "console"]


def places(way: str, pieces: int) -> range:
    """Where the line is cut: everywhere, or at a few places, others for each way."""
    return range(pieces) if DEEP else range(2 * WAYS.index(way) + 1, pieces, pieces // 3)


def program(place: Path, name: str, text: str) -> build.Image:
    path = place / f"{name}.py"
    path.write_text(text)
    return build.build_image(path)


def says(near: Device, version: str) -> bool:
    state = {one["name"]: one["state"] for one in near.list()}.get("cut")
    lines = [line.text for line in near.log("cut")]
    return state == "running" and lines[-1:] == [f"this is version {version}"]


def test_nothing_that_goes_over_the_network_can_be_read(
    desk: SimulatedDevice, near: Device, tmp_path: Path
) -> None:
    text = "import asyncio\nTEXT = 'what the app says'\n"
    text += "async def main():\n    print(TEXT)\n    await asyncio.sleep(99)\n"
    worn = Worn(desk, "up")
    with worn.line(-1) as target, Device.connect(target) as device:
        device.install("secretive", program(tmp_path, "secretive", text), {"defines": {"x": "y"}})
        until(lambda: [line.text for line in device.log("secretive")] == ["what the app says"])
        assert device.about()["name"] == "desk"
        device.call("kodkod/network", "wifi_add", WIFI[0])
        assert device.call("kodkod/network", "wifi", []) == [WIFI[0][0]]
        device.uninstall("secretive")
    network, password = WIFI[0]
    words = ["what the app says", "secretive", "asyncio", "desk", desk.settings["id"], KEY]
    for recorded in worn.recorded:
        assert len(recorded) > 500
        for word in [*words, network, password]:
            assert word.encode() not in recorded
        assert bytes.fromhex(KEY) not in recorded


@pytest.mark.parametrize("way", WAYS)
def test_an_install_is_done_or_an_error(
    desk: SimulatedDevice, near: Device, tmp_path: Path, way: str
) -> None:
    worn = Worn(desk, way)
    pieces = 40
    if way != "console":
        with worn.line(-1) as target, Device.connect(target) as device:
            device.install("cut", program(tmp_path, "cut", VERSION.format(way)), wait=False)
        pieces = worn.counter.counts[way.split(",")[0]]
    lost = 0
    for left in places(way, pieces):
        version = f"{way} {left}"
        image = program(tmp_path, "cut", VERSION.format(version))
        try:
            with worn.line(left) as target, Device.connect(target) as device:
                device.install("cut", image, {"probation_ms": 0}, wait=False)
        except LOST:
            lost += 1
            near.install("cut", image, {"probation_ms": 0}, wait=False)
        until(lambda: says(near, version))  # noqa: B023
    assert lost > 0


@pytest.mark.parametrize("way", WAYS)
def test_a_run_is_shown_to_its_end_or_an_error(
    desk: SimulatedDevice, near: Device, tmp_path: Path, way: str
) -> None:
    worn = Worn(desk, way)

    def run(left: int) -> tuple[list[str], int | None]:
        # A new one each time: it has to be sent.
        text = RUNS.format(noise=f"{way} {left}" * 20, lines=LINES)
        image = program(tmp_path, "runs", text)
        with (
            worn.line(left) as target,
            Device.connect(target) as device,
            device.run(image) as running,
        ):
            return [line for _, _, line in running.lines()], running.code

    whole = [f"line {n}" for n in range(LINES)], 3
    pieces = 60
    if way != "console":
        assert run(-1) == whole
        pieces = worn.counter.counts[way.split(",")[0]]
    lost = 0
    for left in places(way, pieces):
        try:
            assert run(left) == whole
        except LOST:
            lost += 1
    assert lost > 0
    near.ping()
    with Device.connect(choose.Target(Known("", ""), console=desk.run_json["console"])):
        until(lambda: not any(re.match("run-", one["name"]) for one in near.list()))
