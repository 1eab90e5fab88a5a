# stop after: 60
# ends: stopped
import asyncio
import sys


async def main():
    while True:
        try:
            sys.exit(3)
        except SystemExit:
            await asyncio.sleep_ms(1)
