# ends: failed 5
# caller gets: ServiceNotFound
from kodkod.services import ServiceProvider, ServiceSelector


class Provider(ServiceProvider):
    def handle(self, index, arguments, gid, client):
        return index

    def on_closed(self, client):
        raise SystemExit(5)


async def main():
    provider = Provider("park/bad", 1, 0)
    provider.provides(ServiceSelector("park/bad", 1, 0), provider)
    provider.install()
