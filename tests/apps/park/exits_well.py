# ends: ended 0
import asyncio
import sys


async def stays():
    await asyncio.sleep(1000)


async def main():
    asyncio.create_task(stays())
    sys.exit()
