# stop after: 50
# short limit
# ends: stopped
import asyncio


async def main():
    try:
        await asyncio.sleep(1000)
    finally:
        while True:
            pass
