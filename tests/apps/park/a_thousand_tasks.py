# stop after: 150
# ends: stopped
import asyncio


async def task():
    while True:
        await asyncio.sleep_ms(20)


async def main():
    for _ in range(1000):
        asyncio.create_task(task())
    await asyncio.sleep(1000)
