"""What the library keeps in the heap of a 32-bit device, and the smallest heap for the tutorial.

The unix port from pip has 64-bit objects: its figures are multiplied by 0.70, which is what the
library took of 32-bit ones when both builds of 1.26.1 were measured side by side. With MICROPYTHON
naming a build with 32-bit objects they are taken as they are.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from device import simulated
from kod import library, micropython

SCALE = 0.70
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
for name in sys.argv[2:]:
    __import__(name)
    gc.collect()
    print(name, gc.mem_alloc() - before)
"""
CORE = ["kodkod.system.boot", "kodkod.link.tcp"]
REST = [
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
        script.write_text(PROGRAM)
        there = [m for m in REST if f"lib/{m.replace('.', '/')}.mpy" in files]
        command = [micropython.unix_port(), str(script), f"{place}/lib", *CORE, *there]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in lines.splitlines()]
    words = int(rows[0][1])
    scale = 1 if words == 4 else SCALE
    return [(name, int(used) * scale / 1024) for name, used in rows[1:]]


def free_with_tutorial() -> float:
    """KB of 32-bit objects free in 160 KB while provider and two users run."""
    with simulated("--heap", f"{HEAP_KB / SCALE:.0f}k") as (device, _):
        device.install("provider", TUTORIAL / "provider.py")
        device.install("user1", TUTORIAL / "user.py")
        device.install("user2", TUTORIAL / "user2.py")
        return float(device.about()["free_ram"]) * SCALE / 1024


def runs_in(heap_kb: int) -> bool:
    """Whether the tutorial runs in `heap_kb` KB of 32-bit objects."""
    try:
        with simulated("--heap", f"{heap_kb / SCALE:.0f}k") as (device, _):
            for name, file in (("provider", "provider"), ("user1", "user"), ("user2", "user2")):
                device.install(name, TUTORIAL / f"{file}.py")
            return all(record["state"] == "running" for record in device.list())
    except (Exception, SystemExit):
        return False


def main() -> None:
    rows = resident()
    core = dict(rows)[CORE[-1]]
    print(f"core resident            {core:6.1f} KB   {core / CORE_KB:.2f} of its {CORE_KB} KB")
    print(
        f"with everything loaded   {rows[-1][1]:6.1f} KB   {rows[-1][1] / ALL_KB:.2f} of {ALL_KB}"
    )
    free = free_with_tutorial()
    print(
        f"free, tutorial running   {free:6.1f} KB   {free / SPARE_KB:.2f} of {SPARE_KB} to spare"
    )
    low, high = 40, HEAP_KB
    while high - low > 4:
        middle = (low + high) // 2
        low, high = (low, middle) if runs_in(middle) else (middle, high)
    print(f"smallest heap for it     {high:6.1f} KB   {high / HEAP_KB:.2f} of {HEAP_KB}")


if __name__ == "__main__":
    main()
