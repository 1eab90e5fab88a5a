# The service in one app: three tasks that talk through channels. No boundary is crossed.

import asyncio
import random

from kodkod import Channel


class NotificationService:
    def __init__(self):
        self.connections = {}
        self.last_id = 0

    def connect(self):
        self.last_id += 1
        connection = Connection(self, self.last_id)
        self.connections[connection.id] = connection
        return connection

    async def send_all(self, message, sender):
        for connection in list(self.connections.values()):
            if connection.id != sender:
                await connection.dispatch(message)


class Connection:
    def __init__(self, service, id):
        self.service = service
        self.id = id
        self.channel = Channel(10)

    def close(self):
        del self.service.connections[self.id]

    async def send(self, message):
        await self.service.send_all(message, sender=self.id)

    async def receive(self):
        return await self.channel.receive()

    async def dispatch(self, message):
        await self.channel.send(message)


async def send(connection, name):
    counter = 0
    while True:
        await connection.send("hello from {} ({})".format(name, counter))
        counter += 1
        await asyncio.sleep(1 + random.randrange(3))


async def run(service, name):
    connection = service.connect()
    sender = asyncio.create_task(send(connection, name))
    try:
        while True:
            message = await connection.receive()
            if message == "quit":
                break
            print("{} received: {}".format(name, message))
    finally:
        sender.cancel()
        connection.close()


async def main():
    service = NotificationService()
    runners = [asyncio.create_task(run(service, "runner{}".format(n))) for n in (1, 2, 3)]
    await asyncio.sleep(10)
    connection = service.connect()
    await connection.send("quit")
    connection.close()
    await asyncio.gather(*runners)
