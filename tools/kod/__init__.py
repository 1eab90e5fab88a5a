"""kod: install, run and watch apps on devices that run Kodkod; also as a library.

from kod import Device
with Device.find("desk") as device:
    device.install("clock", "clock.py")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["Device", "UserError", "__version__"]

if TYPE_CHECKING:
    from kod.device import Device
    from kod.errors import UserError


def __getattr__(name: str) -> object:
    """Load the public names when they are first used, so that `kod version` stays quick."""
    if name == "Device":
        from kod.device import Device

        return Device
    if name == "UserError":
        from kod.errors import UserError

        return UserError
    raise AttributeError(f"module 'kod' has no attribute {name!r}")
