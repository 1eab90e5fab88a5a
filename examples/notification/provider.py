# The provider: hands each message on to every other connection.

from kodkod.errors import UnknownMethod
from kodkod.services import ServiceProvider, ServiceResource
from service import NotificationService


class NotificationServiceProvider(ServiceProvider):
    def __init__(self):
        super().__init__("tutorial/notification", major=1, minor=0)
        self.connections = {}
        self.provides(NotificationService.SELECTOR, handler=self)

    def handle(self, index, arguments, gid, client):
        if index == NotificationService.CONNECT_INDEX:
            connection = Connection(self, client)
            self.connections[connection.id] = connection
            return connection  # crosses as its handle
        if index == NotificationService.CONNECTION_SEND_INDEX:
            handle, message = arguments
            sender = self.resource(client, handle)
            for connection in list(self.connections.values()):
                if connection is not sender:
                    connection.notify(message)
            return None
        raise UnknownMethod("the service has no method {!r}".format(index))


class Connection(ServiceResource):
    _last_id = 0

    def __init__(self, provider, client):
        super().__init__(provider, client, notifiable=True)
        Connection._last_id += 1
        self.id = Connection._last_id
        self.provider = provider

    def on_closed(self):
        del self.provider.connections[self.id]


async def main():
    NotificationServiceProvider().install()
    print("provider is installed")
