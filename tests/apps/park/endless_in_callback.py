# ends: runaway
import asyncio
import micropython


def callback(argument):
    while True:
        pass


async def main():
    micropython.schedule(callback, None)
    await asyncio.sleep(1000)
