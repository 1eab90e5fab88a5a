# stop after: 60
# ends: stopped
import asyncio


def deeper(n):
    return deeper(n + 1) + 1


async def main():
    while True:
        try:
            deeper(0)
        except RuntimeError:
            pass
        await asyncio.sleep_ms(1)
