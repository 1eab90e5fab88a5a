# stop after: 60
# ends: stopped
import asyncio
import micropython


def again(n):
    micropython.schedule(again, n + 1)


async def main():
    micropython.schedule(again, 0)
    await asyncio.sleep(1000)
