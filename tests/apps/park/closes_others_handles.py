# Guesses and reuses what is not its own: handles, clients, tasks.
# stop after: 80
# ends: stopped
import asyncio

import good
from kodkod.errors import ResourceClosed


async def main():
    client = await good.opened()
    handle = await client.invoke(good.SUBSCRIBE)
    for other in range(handle - 40, handle + 40):
        if other != handle:
            try:
                good.Proxy(client, other).close()
            except Exception:
                pass
            try:
                await client.invoke(good.BURST_OF, [other, 3])
                raise SystemExit(9)
            except ResourceClosed:
                pass
    await asyncio.sleep(1000)
