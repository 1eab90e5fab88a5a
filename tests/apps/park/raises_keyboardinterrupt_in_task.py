# ends: failed
import asyncio


async def task():
    await asyncio.sleep_ms(1)
    raise KeyboardInterrupt


async def main():
    asyncio.create_task(task())
    await asyncio.sleep(1000)
