"""What stays on a device once its host has left: nothing that only hosts have used."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from simulated_device import EXAMPLES, SimulatedDevice, until

LOADED = "import sys; print(*[m for m in sys.modules if 'kodkod.' in m])"
TICKER = "import asyncio\nasync def main():\n    while True:\n        await asyncio.sleep(1)\n"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[SimulatedDevice]:
    device = SimulatedDevice(tmp_path, "desk")
    device.start()
    try:
        yield device
    finally:
        device.stop()


def loaded(device: SimulatedDevice) -> set[str]:
    """The library's modules that the device has now."""
    command = [sys.executable, "-m", "mpremote", "connect", device.run_json["console"]]
    command += ["resume", "exec", LOADED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


def test_services_that_only_hosts_have_used_go_with_the_last_host(
    desk: SimulatedDevice, tmp_path: Path
) -> None:
    script = tmp_path / "ticker.py"
    script.write_text(TICKER)
    for _ in range(2):  # they are loaded anew for the next one
        desk.kod("install", "ticker", script)
        assert "ticker" in desk.states()
        until(lambda: "kodkod.services.client" not in loaded(desk))
        left = loaded(desk)
        assert not left & {"kodkod.message", "kodkod.services.proxy", "kodkod.services.resource"}
        assert left >= {"kodkod.services.provider", "kodkod.services.registry"}


def test_services_that_an_app_has_used_stay(desk: SimulatedDevice) -> None:
    desk.kod("install", "provider", EXAMPLES / "notification" / "provider.py")
    desk.kod("list")
    left = loaded(desk)
    assert left >= {"kodkod.message", "kodkod.services.client", "kodkod.services.resource"}
