# asyncio notes who waits before it looks at what for.
# ends: failed
import asyncio


async def stays():
    await asyncio.sleep(1000)


async def main():
    asyncio.create_task(stays())
    await asyncio.StreamReader(object()).read(1)
