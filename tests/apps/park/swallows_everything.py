# stop after: 50
# ends: stopped
# says: by force
import asyncio


async def main():
    while True:
        try:
            await asyncio.sleep(1000)
        except:
            pass
