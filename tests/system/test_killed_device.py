"""A whole device is killed (SIGKILL) at a call of its file system, and starts again on what that
left: each app is there, old or new, whole, and runs; its data is as it was; the next install
works. Every call with KODKOD_DEEP=1, else a sample of each change."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from interpreter import micropython
from kod import simulated_flash
from kod.build import Image, build_image
from kod.config import Known
from kod.device import Device
from kod.errors import UserError
from kod.link import LinkLost, connect_tcp
from kodkod.errors import KodkodError
from simulated_device import ROOT, until

DEEP = os.environ.get("KODKOD_DEEP") == "1"
SAMPLES = 4  # calls of each change at which the device is killed, by default
DATA = b"what the app wrote\n" * 50
TEXT = """
import asyncio, kodkod
VERSION = {}
async def main():
    kodkod.ready()
    while True:
        await asyncio.sleep(1)
"""


class Machine:
    """One boot of a device on `folder`, without what simulates its console and its resets."""

    def __init__(self, folder: Path, kill_at: int = 0) -> None:
        (folder / "rtc.bin").unlink(missing_ok=True)  # as after a power cut
        settings = json.loads((folder / "kodkod.json").read_text())
        self.known = Known(settings["id"], settings["name"], settings["key"], "127.0.0.1")
        self.port = settings["port"]
        environment = {
            **os.environ,
            "KODKOD_ROOT": str(folder),
            "KODKOD_KILL_AT": str(kill_at),
            "MICROPYPATH": f".frozen:{folder}/lib",
        }
        self.process = subprocess.Popen(
            [*micropython(), "main.py"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def is_dead(self) -> bool:
        return self.process.poll() is not None

    def connect(self) -> Device | None:
        """The device, or None when it died before it could be reached."""
        key = bytes.fromhex(self.known.key)
        deadline = time.monotonic() + 60
        while not self.is_dead():
            with contextlib.suppress(LinkLost):
                return Device(connect_tcp("127.0.0.1", self.port, key), self.known)
            assert time.monotonic() < deadline, "no device"
            time.sleep(0.01)
        return None

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def running(folder: Path, kill_at: int = 0) -> Iterator[tuple[Machine, Device | None]]:
    machine = Machine(folder, kill_at)
    device = None
    try:
        device = machine.connect()
        yield machine, device
    finally:
        if device:
            device.close()
        machine.end()


class Images:
    def __init__(self, place: Path) -> None:
        self.place = place
        self.old, self.new, self.other, self.next = (self.make(str(n)) for n in range(4))
        self.bad = self.make("1/0")

    def make(self, version: str) -> Image:
        program = self.place / "app.py"
        program.write_text(TEXT.format(version))
        return build_image(program)


def fresh(place: Path) -> Path:
    """A flash on which there is nothing but the library."""
    folder = place / "fresh"
    simulated_flash.prepare(folder, "killed", 0)
    shutil.copy(ROOT / "tests" / "apps" / "killed_device.py", folder / "main.py")
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path, Images]]:
    """An empty flash, one with two apps and data, and images."""
    place = tmp_path_factory.mktemp("killed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KOD_HOME", str(place / "home"))
        images = Images(place)
        empty = fresh(place)
        used = place / "used"
        shutil.copytree(empty, used)
        with running(used) as (_, device):
            assert device
            device.install("clock", images.old, {"defines": {"n": 1}}, wait=False)
            device.install("other", images.other, wait=False)
        (used / "data" / "clock").mkdir(parents=True)
        (used / "data" / "clock" / "state").write_bytes(DATA)
        yield empty, used, images


def _replace(device: Device, image: Image) -> bool:
    """Whether the new version was kept. LinkLost at once when the device dies."""
    device.install("clock", image, {"defines": {"n": 1}}, wait=False)
    return bool(device.verdict("clock")["ok"])


def _roll_back(device: Device, images: Images) -> None:
    assert not _replace(device, images.bad)


Change = Callable[[Device, Images], object]
# What is interrupted; the images that "clock" may have then, by name, or None for no app.
CHANGES: dict[str, tuple[Change, tuple[str | None, ...]]] = {
    "first boot and install": (
        lambda device, images: device.install(
            "clock", images.old, {"defines": {"n": 1}}, wait=False
        ),
        (None, "old"),
    ),
    "install": (
        lambda device, images: device.install("next", images.next, wait=False),
        ("old",),
    ),
    "replace": (
        lambda device, images: _replace(device, images.new),
        ("old", "new"),
    ),
    "settings": (
        lambda device, images: device.configure("clock", {"defines": {"n": 2}}),
        ("old",),
    ),
    "roll-back": (_roll_back, ("old",)),
    "uninstall": (lambda device, images: device.uninstall("clock"), ("old", None)),
}


def whole(folder: Path, image: str) -> bool:
    """Whether each file of an image is as its app.json says, and there is no other."""
    base = folder / "apps" / image[:12]
    hashes = json.loads((base / "app.json").read_text())["files"]
    found = {
        path.relative_to(base).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in base.rglob("*")
        if path.is_file() and path.name != "app.json"
    }
    return bool(found) and found == hashes


def clean(folder: Path) -> bool:
    """Whether nothing lies about that a change left behind."""
    names = [
        path.name for part in ("apps", "catalog", "data") for path in (folder / part).glob("*")
    ]
    return not [name for name in names if name.startswith("~") or name.endswith(".new")]


def check(folder: Path, change: str, images: Images) -> None:
    """What a device that starts again has to have kept."""
    with running(folder) as (_, device):
        assert device

        def apps() -> dict[str, Any]:
            return {one["name"]: one for one in device.list()}

        if change == "roll-back":  # what was cut off before its verdict has a trial more
            until(lambda: apps()["clock"]["id"] == images.old.id, 60)
        until(lambda: all(one["state"] == "running" for one in apps().values()), 60)
        found = apps()
        clock = found.get("clock")
        allowed = [name and getattr(images, name).id for name in CHANGES[change][1]]
        assert (clock and clock["id"]) in allowed
        if clock:
            n = device.info("clock")["settings"]["defines"]["n"]
            assert n == 1 or (change == "settings" and n == 2)
        if change != "first boot and install":
            assert found["other"]["id"] == images.other.id
            data = folder / "data" / "clock" / "state"
            assert data.exists() == bool(clock)
            assert not clock or data.read_bytes() == DATA
        for one in apps().values():
            assert whole(folder, one["id"]), one
        device.install("next", images.next, wait=False)
        assert apps()["next"]["state"] == "running"
        named = {one["id"][:12] for one in apps().values()}
        assert {path.name for path in (folder / "apps").iterdir()} == named
        assert clean(folder)


def killed(folder: Path, change: str, images: Images, at: int) -> bool:
    """Boots, begins the change, and dies at that call; False when there are fewer calls."""
    with running(folder, at) as (machine, device):
        if device:
            with contextlib.suppress(LinkLost, UserError, KodkodError):
                CHANGES[change][0](device, images)
            if at > 0:  # what was asked for last may still be going on
                with contextlib.suppress(LinkLost, UserError, KodkodError):
                    device.list()
        return machine.is_dead() or bool(device and device.connection.lost)


@pytest.mark.timeout(1800 if DEEP else 120)
@pytest.mark.parametrize("change", list(CHANGES))
def test_a_device_killed_at_any_file_system_call_of_a_change_loses_nothing(
    world: tuple[Path, Path, Images], tmp_path: Path, change: str
) -> None:
    empty, used, images = world
    start = empty if change == "first boot and install" else used

    def copy(number: int) -> Path:
        folder = tmp_path / str(number)
        shutil.copytree(start, folder, symlinks=True)
        return folder

    counting = copy(-1)
    assert not killed(counting, change, images, -1)
    total = int((counting / "calls").read_text())
    assert total > 20
    points = range(1, total + 1) if DEEP else range(total // SAMPLES, total, total // SAMPLES)
    deaths = 0
    for at in points:
        folder = copy(at)
        deaths += killed(folder, change, images, at)
        check(folder, change, images)
        shutil.rmtree(folder)
    print(f"{change}: {total} calls, the device was killed at {deaths} of them")
    assert deaths >= len(points) * 0.9
