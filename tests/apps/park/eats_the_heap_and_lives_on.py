# Handles its MemoryError: that is its right.
# stop after: 60
# ends: stopped
import asyncio


async def main():
    while True:
        try:
            bytearray(1 << 30)
        except MemoryError:
            await asyncio.sleep_ms(5)
