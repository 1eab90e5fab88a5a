# stop after: 60
# ends: stopped
import asyncio

import kodkod

event = asyncio.Event()
lock = asyncio.Lock()


async def child():
    async with lock:
        await asyncio.sleep_ms(10)
        event.set()


async def holder():
    await lock.acquire()


async def main():
    kodkod.spawn(child)
    await event.wait()
    kodkod.spawn(holder)
    await asyncio.sleep_ms(5)
    await lock.acquire()
