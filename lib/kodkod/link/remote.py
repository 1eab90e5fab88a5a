# A host's client on the device: an ordinary client whose notifications go to a link's session.

from kodkod.services import ServiceClient, ServiceSelector, kernel


class RemoteClient(ServiceClient):
    """Hands what the service sends to the session, in place of proxies."""

    def __init__(self, selector, link, number):
        super().__init__(selector)
        self._link = link
        self._number = number

    def _deliver(self, handle, value):
        k = kernel.kernel
        k.shield += 1
        try:
            self._link.notified(self._number, handle, value)
        finally:
            k.shield -= 1

    def _handle_closed(self, handle, reason):
        if reason != "closed":  # the host's own wish
            self._link.closed(self._number, handle, reason)

    def _service_closed(self):
        super()._service_closed()
        self._link.closed(self._number, None, "service")


async def open_client(link, number, selector, timeout_ms):
    """`selector` is [uuid, major, minor], or [name] for any version."""
    client = RemoteClient(ServiceSelector(*selector), link, number)
    return await client.open(timeout_ms=timeout_ms)
