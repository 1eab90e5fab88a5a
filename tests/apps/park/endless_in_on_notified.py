# ends: runaway
import good


class Proxy(good.Proxy):
    def on_notified(self, value):
        while True:
            pass


async def main():
    client = await good.opened()
    Proxy(client, await client.invoke(good.SUBSCRIBE))
    import asyncio

    await asyncio.sleep(1000)
