# ends: failed 5
# caller gets: ServiceClosed
from kodkod.services import ServiceProvider, ServiceSelector


class Provider(ServiceProvider):
    def handle(self, index, arguments, gid, client):
        raise SystemExit(5)


async def main():
    provider = Provider("park/bad", 1, 0)
    provider.provides(ServiceSelector("park/bad", 1, 0), provider)
    provider.install()
