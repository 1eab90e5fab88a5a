"""`kod run -d host`: a program on this computer, under the kernel of the device."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from kod import library, micropython
from kod.errors import INTERRUPTED

if TYPE_CHECKING:
    from kod.build import Image

_UNIX = {"ffi", "termios"}  # of the unix port, and not of an ESP32
_GRACE = 5.0  # seconds for `finally` blocks after Ctrl-C; the kernel itself gives 2


def build(file: Path, **options: Any) -> Image:
    """The image of a program that may import what this computer's MicroPython has."""
    from kod.build import build_image
    from kod.build.device import STOCK

    return build_image(file, builtins=STOCK | _UNIX, **options)


def run(
    image: Image, settings: dict[str, Any], heap: str | None = None, as_json: bool = False
) -> int:
    """Runs an app and returns its exit code; Ctrl-C stops it, and what it spawned, gracefully.

    It runs from its image and with its settings, so that it sees here what it would see on a
    device. With `as_json` its lines are JSON.
    """
    library_folder = library.unpacked()
    command = micropython.command()
    if heap:
        command += ["-X", f"heapsize={heap}"]
    with tempfile.TemporaryDirectory(prefix="kod-run-") as folder:
        for name, data in image.files.items():
            path = Path(folder, "app", name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        # In a file: the unix port takes arguments of 255 bytes.
        Path(folder, "run.json").write_text(json.dumps([image.manifest, settings, as_json]))
        command += ["-m", "kodkod.port.run_host", str(library_folder), folder]
        return _wait(command, library_folder)


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
