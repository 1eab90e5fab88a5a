# What a notification costs when the client keeps up, and when it is far behind: with the same
# service as services.py. micropython tests/bench/backlog.py
import asyncio
import gc
import sys
from time import ticks_diff, ticks_us

import kodkod
from kodkod.services import (
    ServiceClient,
    ServiceProvider,
    ServiceResource,
    ServiceResourceProxy,
    ServiceSelector,
)

# A device collects every 8 KB. In a heap that only fills up, the search for free memory goes
# through more and more of it, and that would be taken for the cost of what is sent.
gc.threshold(65536)

SELECTOR = ServiceSelector("bench/backlog", 1, 0)
COUNTS = (1000, 3000, 10000)
AHEAD = 48


class Provider(ServiceProvider):
    def __init__(self):
        super().__init__("bench/backlog", 1, 0)
        self.provides(SELECTOR, self)

    def handle(self, index, arguments, gid, client):
        if index == 0:
            return ServiceResource(self, client, notifiable=True)
        handle, count, ahead = arguments
        return self.send(self.resource(client, handle), count, ahead)

    async def send(self, resource, count, ahead):
        """How long `count` take; after `ahead` of them the client has its turn."""
        took = 0
        for first in range(0, count, ahead):
            started = ticks_us()
            for number in range(first, min(first + ahead, count)):
                resource.notify(number)
            took += ticks_diff(ticks_us(), started)
            await asyncio.sleep(0)
        return took


class Proxy(ServiceResourceProxy):
    count = 0

    def on_notified(self, value):
        self.count += 1


async def measure(client, count, ahead):
    proxy = Proxy(client, await client.invoke(0))
    started = ticks_us()
    sending = await client.invoke(1, [proxy, count, ahead], timeout_ms=None)
    took = ticks_diff(ticks_us(), started)
    assert proxy.count + proxy.dropped == count, (proxy.count, proxy.dropped)
    print(
        f"{count:6d} notifications, {proxy.count:5d} taken, {proxy.dropped:5d} dropped:"
        f"{sending / count:7.2f} us to send one, {took / count:7.2f} us in all"
    )
    proxy.close()
    return sending / count


async def provide():
    Provider().install()


async def main():
    provider = kodkod.spawn(provide)
    provider.limit = 0  # ten thousand in one step are what is measured
    client = await ServiceClient(SELECTOR).open()
    await measure(client, 1000, AHEAD)
    for what, ahead in (("keeps up", AHEAD), ("is far behind", 1 << 20)):
        print("the client " + what)
        costs = []
        for count in COUNTS:
            costs.append(await measure(client, count, ahead))
        print(f"  the last row beside the first: {costs[-1] / costs[0]:.2f}, flat is 1")
    client.close()
    await provider.stop()


sys.exit(kodkod.run(main))
