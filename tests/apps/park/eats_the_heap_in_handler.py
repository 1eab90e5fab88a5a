# ends: memory
# caller gets: ServiceClosed
from kodkod.services import ServiceProvider, ServiceSelector


class Provider(ServiceProvider):
    def handle(self, index, arguments, gid, client):
        kept = []
        while True:
            kept.append(bytearray(20000))


async def main():
    provider = Provider("park/bad", 1, 0)
    provider.provides(ServiceSelector("park/bad", 1, 0), provider)
    provider.install()
