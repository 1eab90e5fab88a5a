# stop after: 60
# ends: stopped
import asyncio

import kodkod


async def child(n):
    if n % 2:
        raise ValueError("a child")
    await asyncio.sleep_ms(30)


async def main():
    for n in range(10):
        kodkod.spawn(child, n)
    await asyncio.sleep(1000)
