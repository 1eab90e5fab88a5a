# stop after: 50
# ends: stopped
import asyncio


async def main():
    try:
        await asyncio.sleep(1000)
    finally:
        try:
            await asyncio.sleep_ms(5)
        finally:
            raise ValueError("in finally")
