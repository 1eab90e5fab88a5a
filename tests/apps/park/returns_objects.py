# stop after: 100
# ends: stopped
# caller gets: NotSerializable
from kodkod.services import ServiceProvider, ServiceSelector


class Thing:
    pass


class Provider(ServiceProvider):
    def handle(self, index, arguments, gid, client):
        return [Thing(), lambda: 3]


async def main():
    provider = Provider("park/bad", 1, 0)
    provider.provides(ServiceSelector("park/bad", 1, 0), provider)
    provider.install()
