# A user of it: sends a message every 1 to 3 seconds, prints what the others send.

import asyncio
import random
import time

from kodkod import connect


async def send(connection, name):
    counter = 0
    while True:
        await connection.send("hello from {} ({})".format(name, counter))
        counter += 1
        await asyncio.sleep(1 + random.randrange(3))


async def main():
    name = "client - {}".format(time.ticks_us())
    async with connect("tutorial/notification") as notification:
        connection = await notification.connect()
        asyncio.create_task(send(connection, name))
        async for message in connection:
            print("{} received: {}".format(name, message))
