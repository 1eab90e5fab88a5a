"""What the library keeps in the heap of a 32-bit device, and the smallest heap for the tutorial.

The unix port from pip has 64-bit objects: its figures are multiplied by what was measured of a
32-bit build of 1.26.1 beside it. With MICROPYTHON naming a build with 32-bit objects the library
is measured as it is. Names that only an ESP32 has (tools/kod/names.ini) cost here, and not there.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from device import simulated
from kod import Device, library, micropython

SCALE = 0.70  # of the library alone: 51,424 and 74,208 bytes
DEVICE = 0.66  # of all that a device with the tutorial has in its heap: 94,000 and 141,900
CORE_KB, ALL_KB, SPARE_KB, HEAP_KB = 32, 48, 60, 160
TUTORIAL = Path(__file__).resolve().parents[2] / "examples" / "notification"

PROGRAM = """
import sys, gc, asyncio, json, hashlib, select, socket, cryptolib, binascii, struct
for part in ("Event", "Lock", "gather", "StreamReader"):
    getattr(asyncio, part)
sys.path.insert(0, sys.argv[1])
gc.collect()
before = gc.mem_alloc()
print("words", 4 if sys.maxsize < 1 << 32 else 8)

def booted():
    borrow = sys.modules["kodkod.borrow"]
    for done in sys.modules["kodkod.system"].BOOT:
        borrow.forget("kodkod." + done)
    # Of what a boot borrows, the names stay.
    for done in ("storage.catalog", "storage.store", "storage.clean", "apps.held"):
        borrow.borrow("kodkod." + done)

for name in sys.argv[2:]:
    __import__(name)
    if name == "kodkod.system.boot":
        booted()
    gc.collect()
    print(name, gc.mem_alloc() - before)
"""
CORE = ["kodkod.system.boot", "kodkod.link.tcp"]
SERVICES = ["kodkod.services.client", "kodkod.services.resource"]  # with those they load
REST = [
    "kodkod.link.door",
    "kodkod.link.keys",
    "kodkod.link.remote",
    "kodkod.link.cable",
    "kodkod.link.repl",
    "kodkod.link.rawrepl",
    "kodkod.link.beacon",
    "kodkod.system.apps",
    "kodkod.system.upload",
    "kodkod.system.install",
    "kodkod.system.run",
    "kodkod.apps.switch",
    "kodkod.storage.staging",
    "kodkod.storage.image",
    "kodkod.storage.clean",
    "kodkod.services.style",
]


def resident() -> list[tuple[str, float]]:
    """(module, KB of 32-bit objects kept up to and with it)."""
    with tempfile.TemporaryDirectory() as place:
        files = library.files()
        for name, data in files.items():
            path = Path(place) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        script = Path(place) / "resident.py"
        script.write_text(library.inside(PROGRAM))
        there = [m for m in SERVICES + REST if f"lib/{m.replace('.', '/')}.mpy" in files]
        command = [*micropython.command(), str(script), f"{place}/lib", *CORE, *there]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in lines.splitlines()]
    words = int(rows[0][1])
    scale = 1 if words == 4 else SCALE
    return [(name, int(used) * scale / 1024) for name, used in rows[1:]]


ALONE = """
import asyncio, gc
from kodkod import system
kernel, console = system.start()
async def look():
    await asyncio.sleep(3)
    gc.collect()
    print("free", gc.mem_free())
    kernel.ending = 0
kernel.task(kernel.system, look())
kernel.run()
console.flush()
"""


def install(device: Device) -> None:
    """The tutorial's provider and two users."""
    for name, file in (("provider", "provider"), ("user1", "user"), ("user2", "user2")):
        device.install(name, TUTORIAL / f"{file}.py")


def free_with_tutorial() -> tuple[float, float]:
    """KB of 32-bit objects free in 160 KB while it runs: with the host that has installed it
    still connected, and after the next boot, alone."""
    heap = f"{HEAP_KB / DEVICE:.0f}k"
    with tempfile.TemporaryDirectory() as place:
        flash = Path(place) / "flash"
        with simulated("--heap", heap) as (device, folder):
            install(device)
            near = float(device.about()["free_ram"])
            shutil.copytree(folder, flash)
        (flash / "main.py").write_text(library.inside(ALONE))
        environment = {"KODKOD_ROOT": str(flash), "MICROPYPATH": f".frozen:{flash}/lib"}
        command = [*micropython.command(), "-X", f"heapsize={heap}", "main.py"]
        output = subprocess.run(
            command, cwd=flash, env=environment, input="", capture_output=True, text=True
        ).stdout
    alone = float(re.findall(r"free (\d+)", output)[0])
    return near * DEVICE / 1024, alone * DEVICE / 1024


def runs_in(heap_kb: int) -> bool:
    """Whether the tutorial runs in `heap_kb` KB of 32-bit objects."""
    try:
        with simulated("--heap", f"{heap_kb / DEVICE:.0f}k") as (device, _):
            install(device)
            return all(record["state"] == "running" for record in device.list())
    except (Exception, SystemExit):
        return False


def main() -> None:
    rows = resident()
    core, used = dict(rows)[CORE[-1]], dict(rows)[SERVICES[-1]]
    print(f"core resident            {core:6.1f} KB   {core / CORE_KB:.2f} of its {CORE_KB} KB")
    print(f"core, services in use    {used:6.1f} KB")
    print(
        f"with everything loaded   {rows[-1][1]:6.1f} KB   {rows[-1][1] / ALL_KB:.2f} of {ALL_KB}"
    )
    near, alone = free_with_tutorial()
    for what, free in (("alone", alone), ("and a host", near)):
        share = free / SPARE_KB
        print(f"free, tutorial {what:10}{free:6.1f} KB   {share:.2f} of {SPARE_KB} to spare")
    low, high = 40, HEAP_KB
    while high - low > 4:
        middle = (low + high) // 2
        low, high = (low, middle) if runs_in(middle) else (middle, high)
    print(f"smallest heap for it     {high:6.1f} KB   {high / HEAP_KB:.2f} of {HEAP_KB}")


if __name__ == "__main__":
    main()
