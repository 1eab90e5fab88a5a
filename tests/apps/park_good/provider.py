# The well-behaved provider: echoes, and notifies every subscriber of numbers in order.
import asyncio

import good
from kodkod.errors import UnknownMethod
from kodkod.services import ServiceProvider, ServiceResource

provider = None


class Provider(ServiceProvider):
    def __init__(self):
        super().__init__("park/good", 1, 0)
        self.provides(good.SELECTOR, self)

    def handle(self, index, arguments, gid, client):
        if index == good.ECHO:
            return arguments
        if index == good.SUBSCRIBE:
            return Subscription(self, client)
        if index == good.SLOW:
            return asyncio.sleep_ms(arguments)
        if index == good.BURST:
            return self.burst(arguments)
        if index == good.BURST_OF:
            self.resource(client, arguments[0]).notify(arguments[1])
            return None
        raise UnknownMethod(str(index))

    async def burst(self, count):
        for n in range(count):
            for subscription in self.resources():
                if subscription.of_bursts:
                    subscription.notify(n)
            if n % 10 == 0:
                await asyncio.sleep_ms(0)


class Subscription(ServiceResource):
    def __init__(self, provider, client):
        super().__init__(provider, client, notifiable=True)
        self.count = 0
        self.of_bursts = len(provider.resources()) > 1  # the first is the well-behaved user's


async def main():
    global provider
    provider = Provider()
    provider.install()
    while True:
        for subscription in provider.resources():
            subscription.count += 1
            subscription.notify(subscription.count)
        await asyncio.sleep_ms(10)
