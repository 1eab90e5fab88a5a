# stop after: 60
# ends: stopped
import asyncio

import good

busy = 0


async def call(client):
    global busy
    try:
        await client.invoke(good.SLOW, 1000)
    except good.Busy:
        busy += 1


async def main():
    client = await good.opened()
    for _ in range(100):
        asyncio.create_task(call(client))
    await asyncio.sleep_ms(20)
    assert busy == 84, busy
    await asyncio.sleep(1000)
