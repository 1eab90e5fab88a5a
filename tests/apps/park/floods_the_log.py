# stop after: 150
# ends: stopped
import asyncio


async def main():
    n = 0
    while True:
        print("line", n, "of a flood", "!" * (n % 300))
        n += 1
        if n % 20 == 0:
            await asyncio.sleep(0)
