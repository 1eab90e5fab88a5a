# ends: runaway
# caller gets: ServiceClosed
import asyncio

from kodkod.services import ServiceProvider, ServiceSelector


class Provider(ServiceProvider):
    async def handle(self, index, arguments, gid, client):
        await asyncio.sleep_ms(5)
        while True:
            pass


async def main():
    provider = Provider("park/bad", 1, 0)
    provider.provides(ServiceSelector("park/bad", 1, 0), provider)
    provider.install()
