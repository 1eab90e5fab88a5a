# A host's client on the device: an ordinary client whose notifications go to a link's session.

from kodkod.link.session import Session
from kodkod.services import ServiceSelector, kernel
from kodkod.services.client import Client
from kodkod.signal import Signal


class RemoteClient(Client):
    """Hands what the service sends to the session, in place of proxies."""

    def __init__(self, selector, link, number, queue, overflow):
        super().__init__(selector, int(queue or 64), overflow or "drop_oldest")
        self._link = link
        self._number = number

    def _deliver(self, handle, value):
        k = kernel.kernel
        policy = self.overflow_
        k.shield += 1
        try:
            stays = policy != "drop_oldest"
            kept = self._link.notified(self._number, handle, value, self.limit_, stays)
        finally:
            k.shield -= 1
        if not kept and policy == "close":
            self._close_handle(handle)
            self._link.closed(self._number, handle, "closed")

    def _handle_closed(self, handle, reason):
        if reason != "closed":  # the host's own wish
            self._link.closed(self._number, handle, reason)

    def _service_closed(self):
        super()._service_closed()
        self._link.closed(self._number, None, "service")


def session(carrier, hello):
    """The session of a host, to be run."""
    return Session(carrier, hello, open_client, Signal())


async def open_client(link, number, selector, timeout_ms, queue, overflow):
    """`selector` is [uuid, major, minor], [name] for any version, or five elements: then the
    entries and tags of a restricted selector follow."""
    wanted = ServiceSelector(*selector[:3])
    if len(selector) > 3:
        wanted = wanted.restrict()
        wanted._names, wanted._tags = selector[3:]
    client = RemoteClient(wanted, link, number, queue, overflow)
    return await client.open(timeout_ms=timeout_ms)
