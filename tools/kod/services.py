"""Services of a device from CPython's asyncio: the names and rules of `kodkod.services`.

with Device.find("desk") as device, using(device):
    client = await ServiceClient(ServiceSelector("c6f4862f-…", 0, 1)).open()

A client belongs to the loop that opened it. What ends it, and what is different over a link, is
in docs/services.md. Once this module is imported, a client's modules that were written for a
device (`from kodkod.services import ServiceClient`, `from kodkod import connect`) import here too.
"""

from __future__ import annotations

import kodkod
import kodkod.services

from kod.channel import Channel
from kod.selector import ServiceSelector
from kod.services_client import ServiceClient, ServiceResourceProxy, using
from kod.services_style import connect

__all__ = [
    "Channel",
    "ServiceClient",
    "ServiceResourceProxy",
    "ServiceSelector",
    "connect",
    "using",
]


def _stand_in() -> None:
    # The device's own files for these names need MicroPython.
    for kind in (ServiceClient, ServiceResourceProxy, ServiceSelector):
        setattr(kodkod.services, kind.__name__, kind)
    for here in (Channel, connect):
        setattr(kodkod, here.__name__, here)


_stand_in()
