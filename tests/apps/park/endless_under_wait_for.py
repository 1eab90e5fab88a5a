# wait_for catches everything, and raises it later.
# ends: runaway
import asyncio


async def spin():
    while True:
        pass


async def main():
    await asyncio.wait_for(spin(), 1000)
