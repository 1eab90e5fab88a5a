"""`kod run -d host`: a program on this computer, under the kernel of the device."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from types import FrameType

from kod import library, micropython
from kod.errors import INTERRUPTED, BadInput

_GRACE = 5.0  # seconds for `finally` blocks after Ctrl-C; the kernel itself gives 2


def run(file: Path, arguments: list[str], heap: str | None = None) -> int:
    """Runs `file` and returns its exit code; Ctrl-C stops its apps gracefully."""
    if file.is_dir():
        raise BadInput(f"{file} is a folder; name a Python file")
    if not file.is_file():
        raise BadInput(f"{file} does not exist")
    file = file.absolute()
    folder = library.unpacked()
    command = [micropython.unix_port()]
    if heap:
        command += ["-X", f"heapsize={heap}"]
    command += ["-m", "kodkod.port.run_host", str(folder), str(file.parent), file.stem]
    return _wait(command + arguments, folder)


def _wait(command: list[str], folder: Path) -> int:
    """The child's exit code. It is told to end by a byte on its stdin, and when that closes:
    a signal could strike its kernel anywhere."""
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        env={**os.environ, "KODKOD_STDIN": "1", "MICROPYPATH": f".frozen:{folder}"},
        start_new_session=True,  # the terminal's Ctrl-C is for kod alone
    )
    asked = 0

    def ask(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked += 1
        if asked == 1 and child.stdin:
            with contextlib.suppress(OSError):
                child.stdin.write(b"\x03")
                child.stdin.flush()
            signal.alarm(int(_GRACE))
        else:
            child.kill()

    kinds = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
    before = {kind: signal.signal(kind, ask) for kind in kinds}
    try:
        code = child.wait()
    finally:
        signal.alarm(0)
        for kind, handler in before.items():
            signal.signal(kind, handler)
        child.kill()
        child.wait()
        if child.stdin:
            child.stdin.close()
    return INTERRUPTED if asked else code if code >= 0 else 128 - code
