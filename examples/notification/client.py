# The client: what users of the service import.

from kodkod import Channel
from kodkod.services import ServiceClient, ServiceResourceProxy
from service import NotificationService


class NotificationServiceClient(ServiceClient):
    SELECTOR = NotificationService.SELECTOR

    def __init__(self, selector=SELECTOR):
        super().__init__(selector)

    async def connect(self):
        """A new Connection to all other users of the service."""
        return Connection(self, await self.invoke(NotificationService.CONNECT_INDEX, None))


class Connection(ServiceResourceProxy):
    def __init__(self, client, handle):
        self._client = client
        self._channel = Channel(10)
        super().__init__(client, handle)

    async def send(self, message):
        """Send `message` to all other connections."""
        index = NotificationService.CONNECTION_SEND_INDEX
        await self._client.invoke(index, [self.handle, message])

    async def receive(self):
        """Wait for a message of another connection."""
        return await self._channel.receive()

    def on_notified(self, notification):
        self._channel.try_send(notification)
