"""Where this repository is, and how the unix port of MicroPython is started in a test."""

from __future__ import annotations

from pathlib import Path

from kod.micropython import command as micropython

__all__ = ["ROOT", "micropython"]

ROOT = Path(__file__).parent.parent
