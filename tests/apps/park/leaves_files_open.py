# stop after: 30
# ends: stopped
import asyncio

files = [open("kept", "w") for _ in range(20)]
for _ in range(100):
    open("kept").read()


async def main():
    await asyncio.sleep(1000)
