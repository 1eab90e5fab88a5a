"""A simulated device for each module of tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from simulated_device import SimulatedDevice


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatedDevice]:
    """A running simulated device; tests of one module share it."""
    device = SimulatedDevice(tmp_path_factory.mktemp("bench"))
    before = os.environ.get("KOD_HOME")
    os.environ["KOD_HOME"] = str(device.home)
    try:
        device.start()
        yield device
    finally:
        device.stop()
        if before is None:
            del os.environ["KOD_HOME"]
        else:
            os.environ["KOD_HOME"] = before


@pytest.fixture
def app(tmp_path: Path) -> Callable[..., Path]:
    """Writes a program: app("clock", "import time ...") gives its path."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        return path

    return write
