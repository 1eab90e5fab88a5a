# ends: memory
import asyncio


async def main():
    kept = []
    while True:
        kept.append(bytearray(20000))
        await asyncio.sleep(0)
