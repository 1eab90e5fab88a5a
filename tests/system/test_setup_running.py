"""kod setup and kod doctor on a device where Kodkod runs, over its console."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kod import config
from kod.flash import wait
from simulated_device import SimulatedDevice, until

TICKER = """
import time
import kodkod
async def main():
    import asyncio
    while True:
        print("tick")
        await asyncio.sleep(0.1)
kodkod.run(main)
"""


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatedDevice]:
    one = SimulatedDevice(tmp_path_factory.mktemp("setup"), "desk", ("--baud", "0"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KOD_HOME", str(one.home))
        one.start()
        try:
            yield one
        finally:
            one.stop()


def test_renewing_the_library_of_a_running_device_keeps_its_apps(
    device: SimulatedDevice, app: Callable[..., Path]
) -> None:
    device.kod("install", "clock", app("clock", TICKER))
    library = device.folder / "lib" / "kodkod"
    changed = library / "services" / "style.mpy"
    whole = changed.read_bytes()
    changed.write_bytes(b"damaged")
    (library / "of_an_older_version.mpy").write_bytes(b"M\x06")
    pid = device.run_json["device_pid"]
    result = device.kod("setup", device.run_json["console"])
    assert f"{len(whole)} bytes sent" in result.err
    assert changed.read_bytes() == whole
    assert not (library / "of_an_older_version.mpy").exists()
    assert not (device.folder / "lib.new").exists()
    until(lambda: not (device.folder / "lib.old").exists(), what="/lib.old stayed")
    assert device.run_json["device_pid"] != pid  # it started with the new library
    state = until(lambda: device.kod("list", "--json").json())
    # The prompt that was used is none of the apps.
    assert [(one["name"], one["state"]) for one in state] == [("clock", "running")]
    boots_that_did_not_last = (device.folder / "rtc.bin").read_bytes()[2]
    assert boots_that_did_not_last == 1, "a renewal would lead to safe mode"
    assert config.by_id(device.settings["id"]).is_simulated  # and stays known as that


def test_a_device_is_heard_over_its_cable_alone(device: SimulatedDevice) -> None:
    known = config.by_id(device.settings["id"])
    heard = wait.wait(device.run_json["console"], known, wifi=False, seconds=20, say=print)
    assert heard.up
    assert not heard.trouble


def test_its_address_is_asked_for_over_the_cable(
    device: SimulatedDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wait, "_listen", lambda *_: None)  # no beacon comes through
    known = config.by_id(device.settings["id"])
    heard = wait.wait(device.run_json["console"], known, wifi=True, seconds=20, say=print)
    assert (heard.up, heard.host, heard.port) == (True, "127.0.0.1", known.port)


def test_another_device_at_that_port_is_not_taken_for_it(device: SimulatedDevice) -> None:
    other = config.Known(id="ffffffffffff", name="other")
    heard = wait.wait(device.run_json["console"], other, wifi=False, seconds=4, say=print)
    assert not heard.host


def test_doctor_asks_the_device(device: SimulatedDevice) -> None:
    result = device.kod("doctor", "-d", "desk", code=None)
    assert "MicroPython 1." in result.out
    assert "KB of RAM" in result.out
