"""`make bench`: figures beside their budgets, as ratios of one run. Nothing here is a test.

Each part is a program of its own: services.py, backlog.py and kernel.py run in MicroPython's unix
port, the others here against a simulated device. Budgets are those of the architecture.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from kod import micropython

_LONGEST_S = 300  # a part that fails may leave an app that goes on for ever
HERE = Path(__file__).resolve().parent
LIB = HERE.parents[1] / "lib"
DEVICE = {
    "services": ("services.py", "kernel"),  # as two apps of the kernel
    "backlog": ("backlog.py",),
    "kernel": ("kernel.py",),
}
HOST = {"deploy": ("deploy.py",), "link": ("link.py",), "memory": ("memory.py",)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join([*DEVICE, *HOST])}; default: all")
    wanted = parser.parse_args().parts or [*DEVICE, *HOST]
    environment = {**os.environ, "MICROPYPATH": f"{LIB}:.frozen"}
    failed = []
    for part in wanted:
        print(f"\n== {part} ==", flush=True)
        if part in DEVICE:
            program, *arguments = DEVICE[part]
            command = [*micropython.command(), "-X", "heapsize=8m", str(HERE / program)]
        else:
            program, *arguments = HOST[part]
            command = [sys.executable, str(HERE / program)]
        try:
            subprocess.run([*command, *arguments], env=environment, check=True, timeout=_LONGEST_S)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            failed.append(part)
    if failed:
        print(f"\nnot measured: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
