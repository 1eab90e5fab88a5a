# Objects in the provider that one client holds by a handle.
from kodkod import errors
from kodkod.message import copy
from kodkod.services import kernel as _k


class ServiceResource:
    """Belongs to one client of `provider` and closes with it. Returned by a handler, it crosses
    as its handle."""

    is_closed = False
    # Called once, when it has closed.
    on_closed = _k.nothing
    _kodkod_handle = _k.handle

    def __init__(self, provider, client, notifiable=False):
        session = provider.sessions_.get(client)
        if session is None:
            raise errors.ResourceClosed(
                f"{provider.name}: client {client} is closed: it gets none"
            )
        number = provider.next_handle_
        provider.next_handle_ = (number + 1) & 0x1FFFFFFF
        self.handle = number = number << 1 | bool(notifiable)
        self.session_ = session
        session.resources[number] = self

    def notify(self, value, close=False):
        """Sends `value` to the proxy and returns at once; `close` closes the resource after it."""
        if self.is_closed:
            raise errors.ResourceClosed(f"notify: resource {self.handle} is closed, drop it")
        if not self.handle & 1:
            raise errors.NotNotifiable("notify: the resource needs notifiable=True")
        self.session_.client._deliver(self.handle, copy(value, None, "notification"))
        if close:
            self.close()

    def close(self):
        """Idempotent; calls `on_closed` once and tells the proxy."""
        _k.shielded(self.close_, "resource")

    def close_(self, reason):
        if self.is_closed:
            return
        session = self.session_
        if session.client:  # there may be no memory to tell it: then this is open as before
            session.client._handle_closed(self.handle, reason)
        if not self.is_closed:  # by a hook of the client's
            self.is_closed = True
            # A provider may keep what is closed; it does not keep its client's app by that.
            self.session_ = None
            del session.resources[self.handle]
            _k.hook(session.provider.owner_, self.on_closed)
