"""A device whose flash has room for one version of an app, not for two."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kod import library, simulated_flash
from simulated_device import SimulatedDevice

App = Callable[[str, str], Path]

SMALL_FLASH = """
import sys
from kodkod.storage import clean, flash
from kodkod import system

def statvfs(path):
    used = clean.size(flash, "/apps") if flash.exists("/apps") else 0
    free = max(0, 50000 - used)
    return 1, 1, 50000, free, free, 1, 0, 0, 0, 255

flash.statvfs = statvfs
sys.exit(system.main())
"""
FOREVER = """
import asyncio
async def main():
    await asyncio.sleep(1000)
"""


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedDevice]:
    device = SimulatedDevice(tmp_path, "small")
    monkeypatch.setenv("KOD_HOME", str(device.home))
    simulated_flash.prepare(device.folder, "small", 0)
    (device.folder / "main.py").write_text(library.inside(SMALL_FLASH))
    try:
        device.start()
        yield device
    finally:
        device.stop()


def big(tmp_path: Path, number: int) -> str:
    folder = tmp_path / f"assets{number}"
    folder.mkdir()
    (folder / "data.bin").write_bytes(os.urandom(30_000))
    return str(folder)


def test_no_room_for_both_is_said_and_force_frees_the_old_one_first(
    small: SimulatedDevice, app: App, tmp_path: Path
) -> None:
    program = app("clock", FOREVER)
    small.kod("install", "clock", program, "--assets", big(tmp_path, 1))
    before = small.kod("info", "clock", "--json").json()
    new = ("install", "clock", program, "--assets", big(tmp_path, 2))
    full = small.kod(*new, code=1)
    assert full.err.startswith("kod: image of ")
    assert "kod uninstall frees some" in full.err
    record = small.kod("info", "clock", "--json").json()
    assert (record["id"], record["state"], record["gid"]) == (
        before["id"],
        "running",
        before["gid"],
    )
    small.kod(*new, "--force")
    record = small.kod("info", "clock", "--json").json()
    assert (record["id"] != before["id"], record["state"]) == (True, "running")
    assert len(list((small.folder / "apps").iterdir())) == 1


def test_force_takes_no_image_that_another_app_needs(
    small: SimulatedDevice, app: App, tmp_path: Path
) -> None:
    program = app("clock", FOREVER)
    assets = big(tmp_path, 1)
    small.kod("install", "clock", program, "--assets", assets)
    small.kod("install", "other", program, "--assets", assets)
    small.kod("install", "clock", program, "--assets", big(tmp_path, 2), "--force", code=1)
    assert small.states() == {"clock": "running", "other": "running"}
    small.kod("restart", "other")
