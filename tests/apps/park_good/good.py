# What users of the well-behaved provider share.
from kodkod.errors import Busy
from kodkod.services import ServiceClient, ServiceResourceProxy, ServiceSelector

SELECTOR = ServiceSelector("park/good", 1, 0)
ECHO = 0
SUBSCRIBE = 1
SLOW = 2
BURST = 3
BURST_OF = 4
Proxy = ServiceResourceProxy


async def opened():
    return await ServiceClient(SELECTOR).open(timeout_ms=2000)
