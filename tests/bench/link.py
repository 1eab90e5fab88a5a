"""The two carriers: what an install takes over each, beside mpremote's copy on the same line.

The console of the simulated device is a pty that is slowed down to 115200 baud.
"""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from device import simulated
from kod import Device
from kod import simulated as running

LINE = 11520  # bytes a second at 115200 baud
OF_LINE, OF_MPREMOTE = 0.40, 2.0
SIZE_KB = 30
TICKER = """
import asyncio, time
worst = 0
async def main():
    global worst
    count = 0
    last = time.ticks_us()
    while True:
        await asyncio.sleep_ms(10)
        now = time.ticks_us()
        worst = max(worst, time.ticks_diff(now, last))
        last = now
        count += 1
        if count == 100:
            print("worst", worst)
            count = worst = 0
"""


def assets(folder: Path, seed: str) -> tuple[Path, Path]:
    """A program with `SIZE_KB` of data beside it that does not compress."""
    data = folder / f"data-{seed}"
    data.mkdir()
    (data / "noise.bin").write_bytes(random.Random(seed).randbytes(SIZE_KB * 1024))
    program = folder / "idle.py"
    program.write_text("import asyncio\nasync def main():\n    await asyncio.sleep(60)\n")
    return program, data


def rate(device: Device, folder: Path, seed: str) -> float:
    """Bytes a second of one installation."""
    program, data = assets(folder, seed)
    image = device.build(program, assets=data)
    began = time.perf_counter()
    device.install(f"app-{seed}", image, wait=False)
    return len(image.data) / (time.perf_counter() - began)


def round_trip(device: Device, count: int) -> float:
    """Milliseconds of an empty call."""
    return statistics.median(device.ping() for _ in range(count))


def mpremote_rate(console: str, folder: Path) -> float:
    source = folder / "copied.bin"
    source.write_bytes(random.Random("mpremote").randbytes(SIZE_KB * 1024))
    command = [sys.executable, "-m", "mpremote", "connect", console, "fs", "cp"]
    began = time.perf_counter()
    subprocess.run([*command, str(source), ":/copied.bin"], check=True, capture_output=True)
    return source.stat().st_size / (time.perf_counter() - began)


def worst_gap(device: Device, seconds: float = 2.5) -> float:
    """The longest gap of a 10 ms ticker, milliseconds, of the time from now on."""
    since = max((line.seq for line in device.log("ticker")), default=0)
    time.sleep(seconds)
    gaps = [int(line.text.split()[1]) for line in device.log("ticker", since)]
    return max(gaps) / 1000 if gaps else float("nan")


def main() -> None:
    with TemporaryDirectory() as place, simulated() as (tcp, flash):
        folder = Path(place)
        run = running.running(flash)
        assert run
        over_tcp = rate(tcp, folder, "tcp")
        trip_tcp = round_trip(tcp, 50)
        with Device.find(run["console"]) as console:
            over_console = rate(console, folder, "console")
            trip_console = round_trip(console, 10)
        copied = mpremote_rate(run["console"], folder)
        print(f"install over TCP            {over_tcp / 1024:8.0f} KB/s")
        print(
            f"install over the console    {over_console / 1024:8.1f} KB/s"
            f"   {over_console / LINE:.2f} of the line, at least {OF_LINE}"
        )
        print(
            f"mpremote fs cp, same line   {copied / 1024:8.1f} KB/s"
            f"   kod is {over_console / copied:.1f} x, at least {OF_MPREMOTE:.0f} x"
        )
        print(
            f"round trip of an empty call {trip_tcp:8.2f} ms over TCP, {trip_console:.1f} console"
        )
        ticker = folder / "ticker.py"
        ticker.write_text(TICKER)
        tcp.install("ticker", ticker)
        idle = worst_gap(tcp)
        image = tcp.build(*assets(folder, "busy")[:1], assets=folder / "data-busy")
        busy_until = time.monotonic() + 2.5
        since = max((line.seq for line in tcp.log("ticker")), default=0)
        while time.monotonic() < busy_until:
            tcp.send(image)
            tcp.install("app-busy", image, wait=False)
            tcp.uninstall("app-busy")
        gaps = [int(line.text.split()[1]) for line in tcp.log("ticker", since)]
        busy = max(gaps) / 1000 if gaps else float("nan")
        print(f"10 ms ticker, longest gap   {idle:8.1f} ms link idle, {busy:.1f} ms link busy")


if __name__ == "__main__":
    main()
