# Provider and three users as four apps of one run: kod run -d host spawn.py

import asyncio

import user
from client import NotificationServiceClient
from kodkod import spawn
from provider import NotificationServiceProvider


async def provide():
    provider = NotificationServiceProvider()
    provider.install()
    await asyncio.sleep(15)
    await provider.uninstall()


async def main():
    provider = spawn(provide, name="provider")
    for name in ("process1", "process2", "process3"):
        spawn(user.main, name, name=name)

    await asyncio.sleep(10)
    client = await NotificationServiceClient().open()
    connection = await client.connect()
    await connection.send("quit")
    connection.close()
    client.close()
    await provider.stop()
