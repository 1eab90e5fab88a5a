# stop after: 100
# ends: stopped
import asyncio


async def main():
    while True:
        print("x" * 100000)
        print(list(range(3000)))
        await asyncio.sleep_ms(5)
