# The notification tutorial in one asyncio program, without apps: the plain kernel.
import asyncio

from kodkod import errors
from kodkod.channel import Channel
from kodkod.services import (
    ServiceClient,
    ServiceProvider,
    ServiceResource,
    ServiceResourceProxy,
    ServiceSelector,
    kernel,
    plain,
    registry,
)


class NotificationService:
    SELECTOR = ServiceSelector("c6f4862f-c17f-4624-865b-fa19467865c5", 0, 1)
    CONNECT_INDEX = 0
    CONNECTION_SEND_INDEX = 1


class NotificationServiceProvider(ServiceProvider):
    def __init__(self):
        super().__init__("tutorial/notification", major=1, minor=0)
        self.connections = {}
        self.provides(NotificationService.SELECTOR, handler=self)

    def handle(self, index, arguments, gid, client):
        if index == NotificationService.CONNECT_INDEX:
            connection = ProvidedConnection(self, client)
            self.connections[connection.id] = connection
            return connection
        if index == NotificationService.CONNECTION_SEND_INDEX:
            handle, message = arguments
            sender = self.resource(client, handle)
            for connection in list(self.connections.values()):
                if connection is not sender:
                    connection.notify(message)
            return None
        raise errors.UnknownMethod(index)


class ProvidedConnection(ServiceResource):
    count = 0

    def __init__(self, provider, client):
        super().__init__(provider, client, notifiable=True)
        self.provider = provider
        self.id = ProvidedConnection.count
        ProvidedConnection.count += 1

    def on_closed(self):
        del self.provider.connections[self.id]


class NotificationServiceClient(ServiceClient):
    SELECTOR = NotificationService.SELECTOR

    def __init__(self, selector=SELECTOR):
        super().__init__(selector)

    async def connect(self):
        return Connection(self, await self.invoke(NotificationService.CONNECT_INDEX, None))


class Connection(ServiceResourceProxy):
    def __init__(self, client, handle):
        self._channel = Channel(10)
        super().__init__(client, handle)
        self.client = client

    async def send(self, message):
        await self.client.invoke(NotificationService.CONNECTION_SEND_INDEX, [self, message])

    async def receive(self):
        return await self._channel.receive()

    def on_notified(self, notification):
        self._channel.try_send(notification)


async def user(name, heard):
    client = await NotificationServiceClient().open()
    connection = await client.connect()

    async def send():
        counter = 0
        while True:
            await connection.send(f"hello from {name} ({counter})")
            counter += 1
            await asyncio.sleep_ms(10)

    sender = asyncio.create_task(send())
    try:
        while True:
            message = await connection.receive()
            if message == "quit":
                break
            heard.append(message)
    finally:
        sender.cancel()
        connection.close()
        client.close()


async def tutorial(heard):
    provider = NotificationServiceProvider()
    provider.install()
    users = [asyncio.create_task(user(f"user{n}", heard[n])) for n in range(3)]
    await asyncio.sleep_ms(100)
    client = await NotificationServiceClient().open()
    connection = await client.connect()
    await connection.send("quit")
    connection.close()
    client.close()
    await asyncio.gather(*users)
    assert not provider.connections
    assert not provider.sessions_
    provider.uninstall()


def test_closing_what_was_never_open_needs_no_kernel():
    kernel.__dict__.pop("kernel", None)
    NotificationServiceClient().close()
    NotificationServiceProvider().uninstall()
    assert isinstance(kernel.kernel, plain.Kernel)


def test_the_notification_tutorial_runs():
    kernel.kernel = plain.Kernel()
    heard = [[], [], []]
    asyncio.run(tutorial(heard))
    for n in range(3):
        others = [other for other in range(3) if other != n]
        for other in others:
            mine = [m for m in heard[n] if m.startswith(f"hello from user{other} ")]
            assert mine == [f"hello from user{other} ({i})" for i in range(len(mine))], mine
            assert mine
        assert not [m for m in heard[n] if f"user{n} " in m]
    assert not registry.providers
