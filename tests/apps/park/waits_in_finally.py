# stop after: 50
# ends: stopped
# says: by force
import asyncio


async def main():
    try:
        await asyncio.sleep(1000)
    finally:
        await asyncio.sleep(1000)
