# stop after: 60
# ends: stopped
import asyncio

import good
import kodkod
from kodkod.services import ServiceClient, ServiceSelector


async def opens():
    await ServiceClient(ServiceSelector("nobody/home", 1, 0)).open(timeout_ms=100000)


async def waits():
    client = await good.opened()
    await client.invoke(good.SLOW, 100000, timeout_ms=None)


async def receives():
    await kodkod.Channel(3).receive()


async def main():
    for make in (opens, waits, receives):
        for _ in range(3):
            asyncio.create_task(make())
    event = asyncio.Event()
    flag = asyncio.ThreadSafeFlag()
    await asyncio.gather(event.wait(), flag.wait(), asyncio.Lock().acquire())
