# Does all that well, and is stopped.
# stop after: 20
# ends: stopped
import asyncio

import good

table = {n: str(n) for n in range(200)}


async def main():
    client = await good.opened()
    proxy = good.Proxy(client, await client.invoke(good.SUBSCRIBE))
    try:
        with open("kept", "w") as file:
            file.write("x" * 1000)
            await asyncio.sleep(1000)
    finally:
        proxy.close()
        client.close()
