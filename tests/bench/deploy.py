"""What a deployment costs on a simulated device over TCP: its parts, and how they grow."""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from device import connect, simulated
from kod import Device
from kod.build import Image, build_image
from kod.device import APPS, pieces

SAVE_TO_RUNNING_MS = 300
ROUNDS = 5


def milliseconds(function: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = function()
    return (time.perf_counter() - began) * 1000, result


def program(folder: Path, size_kb: int, version: int) -> Path:
    """An app of about `size_kb` KB: a short program and an asset that does not compress."""
    assets = folder / f"assets{size_kb}"
    assets.mkdir(exist_ok=True)
    noise = random.Random(f"{size_kb} {version}").randbytes(max(0, size_kb * 1024 - 700))
    (assets / "noise.bin").write_bytes(noise)
    path = folder / f"app{size_kb}.py"
    path.write_text(
        f"import asyncio\nasync def main():\n    print('up {version}')\n"
        "    while True:\n        await asyncio.sleep(1)\n"
    )
    return path


PARTS = ("build", "connect", "send", "write", "commit", "start", "all")


def install(path: Path, name: str, assets: Path) -> dict[str, float]:
    """The parts of one installation, in milliseconds, and how long save to running took."""
    began = time.perf_counter()
    parts = {}
    parts["build"], image = milliseconds(lambda: build_image(path, assets=assets))
    parts["connect"], device = milliseconds(lambda: Device.find("bench"))
    with device:
        _install(device, image, name, parts)
    parts["all"] = (time.perf_counter() - began) * 1000
    parts["bytes"] = len(image.data)
    return parts


def _install(device: Device, image: Image, name: str, parts: dict[str, float]) -> None:
    apps = device._service(APPS)
    since = max((line.seq for line in device.log(name)), default=0)
    parts["send"], handle = milliseconds(
        lambda: apps.call("upload", [image.id, len(image.data)], timeout_ms=30_000)
    )
    calls = [("write", [handle, piece]) for piece in pieces(image.data)]
    parts["write"], _ = milliseconds(lambda: list(apps.call_many(calls, timeout_ms=30_000)))
    parts["commit"], _ = milliseconds(lambda: apps.call("commit", [handle]))
    settings = {"probation_ms": 0}
    parts["start"], _ = milliseconds(
        lambda: apps.call("install", [name, image.id, settings], timeout_ms=30_000)
    )
    while not any(line.text.startswith("up") for line in device.log(name, since)):
        time.sleep(0.001)
    apps.close_handle(handle)


def show_installs(folder: Path) -> None:
    head = f"{'app':>8} " + "".join(f"{part:>9}" for part in (*PARTS, "KB/s"))
    print(head + "   milliseconds, median of five, save to running")
    for size in (1, 10, 100):
        rounds = []
        for version in range(ROUNDS):
            path = program(folder, size, version)
            rounds.append(install(path, f"app{size}", folder / f"assets{size}"))
        middle = {part: statistics.median(r[part] for r in rounds) for part in rounds[0]}
        rate = middle["bytes"] / 1.024 / middle["write"]
        line = f"{size:>5} KB " + "".join(f"{middle[part]:>9.1f}" for part in PARTS)
        ratio = middle["all"] / SAVE_TO_RUNNING_MS
        budget = f"   {ratio:.2f} of the {SAVE_TO_RUNNING_MS} ms budget" if size == 1 else ""
        print(f"{line}{rate:>9.0f}{budget}")


def show_command(folder: Path) -> None:
    """The whole `kod install`, Python's start and the look at a first version included."""
    times = []
    for version in range(ROUNDS):
        path = program(folder, 1, 100 + version)
        command = [sys.executable, "-m", "kod", "install", "command", str(path), "--no-probation"]
        times.append(milliseconds(lambda: subprocess.run(command, capture_output=True))[0])  # noqa: B023
    print(f"\nkod install, 1 KB, as a command: {statistics.median(times):.0f} ms, median of five")


def show_growth(device: Device, folder: Path, flash: Path) -> None:
    print(f"\n{'apps':>8} {'list':>9}{'install':>9}{'boot':>9}   milliseconds")
    one = device.build(program(folder, 1, 0))
    first = None
    for count in range(1, 31):
        took, _ = milliseconds(lambda: device.install(f"many{count}", one, wait=False))  # noqa: B023
        if count not in (1, 10, 30):
            continue
        listed, _ = milliseconds(device.list)
        device.reset()
        device.close()
        began = time.perf_counter()
        time.sleep(0.1)
        device = connect(flash)
        booted = (time.perf_counter() - began) * 1000
        first = first or (listed, took, booted)
        line = f"{count:>8} {listed:>9.1f}{took:>9.1f}{booted:>9.1f}"
        ratios = (
            f"{now / then:.1f} x" for now, then in zip((listed, took, booted), first, strict=True)
        )
        print(f"{line}   {', '.join(ratios)}")


def main() -> None:
    with TemporaryDirectory() as place, simulated() as (device, flash):
        show_installs(Path(place))
        show_command(Path(place))
        for record in device.list():
            device.uninstall(record["name"])
        show_growth(device, Path(place), flash)


if __name__ == "__main__":
    main()
