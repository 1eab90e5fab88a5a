# The caller's clock stands still meanwhile: its own limit is as short.
# ends: runaway
# caller gets: ServiceClosed
from kodkod.services import ServiceProvider, ServiceSelector


class Provider(ServiceProvider):
    def handle(self, index, arguments, gid, client):
        while True:
            pass


async def main():
    provider = Provider("park/bad", 1, 0)
    provider.provides(ServiceSelector("park/bad", 1, 0), provider)
    provider.install()
