# stop after: 50
# ends: stopped
import asyncio


async def main():
    while True:
        asyncio.sleep_ms(100000)
        await asyncio.sleep_ms(5)
        asyncio.sleep(100000)
