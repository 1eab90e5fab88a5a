"""A simulated device for a measurement, in a folder that goes when it is done."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from kod import Device
from kod.simulated import answers, running


@contextlib.contextmanager
def simulated(*options: str) -> Iterator[tuple[Device, Path]]:
    """The connected device, and its folder."""
    with tempfile.TemporaryDirectory(prefix="kodkod-bench-") as home:
        os.environ["KOD_HOME"] = home
        folder = Path(home) / "flash"
        command = [sys.executable, "-m", "kod", "simulate", "--name", "bench"]
        with subprocess.Popen(
            [*command, "--folder", str(folder), *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                yield connect(folder), folder
            finally:
                process.terminate()


def connect(folder: Path, seconds: float = 20) -> Device:
    """The device on `folder`, once it answers."""
    deadline = time.monotonic() + seconds
    while True:
        run = running(folder)
        if run and answers(run["host"], run["port"]):
            return Device.find("bench")
        if time.monotonic() > deadline:
            raise SystemExit("the simulated device does not start")
        time.sleep(0.01)
