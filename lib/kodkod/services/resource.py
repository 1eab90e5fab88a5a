# Objects in the provider that one client holds by a handle, and their proxies in the client.
from kodkod import errors
from kodkod.message import copy
from kodkod.services import kernel as _k


class ServiceResource:
    """Belongs to one client of `provider` and closes with it. Returned by a handler, it crosses
    as its handle."""

    def __init__(self, provider, client, notifiable=False):
        session = provider._sessions.get(client)
        if session is None:
            raise errors.ResourceClosed(f"{provider.name}: client {client} is closed")
        number = provider._next_handle
        provider._next_handle = (number + 1) & 0x1FFFFFFF
        self._handle = number = number << 1 | bool(notifiable)
        self._session = session
        session.resources[number] = self

    @property
    def is_closed(self):
        return self._session is None

    def notify(self, value, close=False):
        """Sends `value` to the proxy and returns at once; `close` closes the resource after it."""
        session = self._session
        if session is None:
            raise errors.ResourceClosed(f"notify: resource {self._handle} is closed")
        if not self._handle & 1:
            raise errors.NotNotifiable("notify: the resource needs notifiable=True")
        session.client._deliver(self._handle, copy(value))
        if close:
            self.close()

    def close(self, reason="resource"):
        """Idempotent; calls `on_closed` once and tells the proxy."""
        if self._session is not None:
            _k.shielded(self._close, reason)

    def on_closed(self):
        """Release what the resource holds."""

    def _close(self, reason):
        session = self._session
        self._session = None
        del session.resources[self._handle]
        if session.client is not None:
            session.client._handle_closed(self._handle, reason)
        _k.hook(session.provider._owner, self.on_closed)

    def _kodkod_handle(self):
        return self._handle


class Inbox:
    """The notifications for one handle, kept here until there is a proxy for it."""

    _client = _reason = None
    _bytes = dropped = 0

    def __init__(self):
        self._values = []

    def _take(self):
        value = self._values.pop(0)
        size = 5
        if type(value) is tuple:
            value, size = value
        self._bytes -= size
        return value


class ServiceResourceProxy(Inbox):
    """The client's side of a resource. `dropped` counts notifications that found no room."""

    def __init__(self, client, handle):
        super().__init__()
        self.handle = handle
        client._adopt(self, handle)

    @property
    def is_closed(self):
        return self.handle is None

    def close(self):
        """Closes the resource, too. Plain, idempotent, never raises."""
        handle = self.handle
        if handle is not None:
            self.handle = None
            self._client._close_handle(handle)

    def on_notified(self, value):
        """A notification; may be `async def`."""

    def on_closed(self, reason):
        """Called once, last: "closed", "resource", "service" or "link"."""

    def _over(self):
        reason = self._reason
        self.handle = self._reason = None
        return self.on_closed(reason)

    def _kodkod_handle(self):
        return self.handle
