# stop after: 150
# ends: stopped
import asyncio


async def task(n):
    await asyncio.sleep_ms(n % 50)


async def main():
    while True:
        await asyncio.gather(*[task(n) for n in range(1000)])
