# ends: failed 5
import asyncio


async def task():
    await asyncio.sleep_ms(1)
    raise SystemExit(5)


async def main():
    asyncio.create_task(task())
    await asyncio.sleep(1000)
