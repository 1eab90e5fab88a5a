# The tutorial's provider in the second style: public methods are callable, resources notify.

from kodkod import Resource, service


@service("tutorial/notification", uuid="c6f4862f-c17f-4624-865b-fa19467865c5", version=(0, 1))
class Notification:
    def connect(self, client):
        """A connection to all others."""
        return Connection(self)


class Connection(Resource):
    def send(self, message):
        """Send `message` to every other connection."""
        for other in self.siblings():
            other.notify(message)
