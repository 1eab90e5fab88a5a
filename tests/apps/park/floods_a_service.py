# stop after: 150
# ends: stopped
import asyncio

import good
from kodkod.errors import Busy


async def flood():
    client = await good.opened()
    while True:
        try:
            await client.invoke(good.ECHO, "x" * 100)
        except Busy:
            pass
        await asyncio.sleep_ms(0)


async def main():
    for _ in range(20):
        asyncio.create_task(flood())
    await asyncio.sleep(1000)
