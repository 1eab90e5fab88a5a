# Allocates, holds a client and a file, and fails.
# ends: failed
import asyncio

import good

table = {n: str(n) for n in range(200)}


async def main():
    client = await good.opened()
    file = open("kept", "w")
    good.Proxy(client, await client.invoke(good.SUBSCRIBE))
    await asyncio.sleep_ms(15)
    raise ValueError(len(table), file)
