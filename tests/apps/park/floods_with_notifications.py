# Asks for more notifications than its queue holds, and is slow to take them.
# stop after: 100
# ends: stopped
import asyncio

import good


class Slow(good.Proxy):
    async def on_notified(self, value):
        await asyncio.sleep_ms(20)


async def main():
    client = await good.opened()
    Slow(client, await client.invoke(good.SUBSCRIBE))
    await client.invoke(good.BURST, 500, timeout_ms=None)
    await asyncio.sleep(1000)
