# Ordinary mistakes of a handler are its callers' to see; it lives on.
# stop after: 100
# ends: stopped
# caller gets: RemoteError
from kodkod.services import ServiceProvider, ServiceSelector


class Provider(ServiceProvider):
    def handle(self, index, arguments, gid, client):
        return {}[index]

    def on_closed(self, client):
        raise ValueError("in a hook")


async def main():
    provider = Provider("park/bad", 1, 0)
    provider.provides(ServiceSelector("park/bad", 1, 0), provider)
    provider.install()
