# The form of the system's services: methods travel by name, arguments as a list.

from kodkod.errors import UnknownMethod
from kodkod.services import ServiceProvider, ServiceSelector

_UUID = "b7f2a1de-000{}-4c1e-9a53-6b6f646b6f64"


class SystemProvider(ServiceProvider):
    """A service of the system. Method `x` is `do_x`, called as (client, *arguments)."""

    def __init__(self, name, number):
        super().__init__(name, 1, 0)
        self.provides(ServiceSelector(_UUID.format(number), 1, 0), self)

    def handle(self, index, arguments, gid, client):
        """Call the method named `index`."""
        method = getattr(self, "do_" + index, None)
        if method is None:
            raise UnknownMethod("{} has no method {}".format(self.name, index))
        return method(client, *arguments)
