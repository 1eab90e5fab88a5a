# ends: runaway
# says: in spin
import asyncio


async def spin():
    while True:
        pass


async def main():
    asyncio.create_task(spin())
    await asyncio.sleep(1000)
