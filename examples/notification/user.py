# A user of the service: sends a message every 1 to 3 seconds, prints what the others send.

import asyncio
import random
import time

from client import NotificationServiceClient


async def main(name=None):
    if name is None:
        name = "client - {}".format(time.ticks_us())
        print("My name is", name)
    client = await NotificationServiceClient().open()
    connection = await client.connect()
    sender = None
    try:
        sender = asyncio.create_task(send(connection, name))
        while True:
            message = await connection.receive()
            if message == "quit":
                break
            print("{} received: {}".format(name, message))
    finally:
        if sender:
            sender.cancel()
        connection.close()
        client.close()


async def send(connection, name):
    counter = 0
    while True:
        await connection.send("hello from {} ({})".format(name, counter))
        counter += 1
        await asyncio.sleep(1 + random.randrange(3))
