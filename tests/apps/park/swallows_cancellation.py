# stop after: 50
# ends: stopped
# says: by force
import asyncio


async def stay():
    while True:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            pass


async def main():
    for _ in range(5):
        asyncio.create_task(stay())
    await stay()
