from typing import Any

from .client import ServiceClient

class Inbox:
    """The notifications for one handle, kept here until there is a proxy for it."""

    dropped: int

    def __init__(self) -> None: ...

class ServiceResourceProxy(Inbox):
    """The client's side of a resource. `dropped` counts notifications that found no room."""

    is_closed: bool
    handle: int | None

    def __init__(self, client: ServiceClient, handle: int) -> None: ...
    def close(self) -> None:
        """Closes the resource, too. Plain, idempotent, never raises. `handle` is None after it."""

    def on_notified(self, value: Any) -> Any:
        """A notification; may be `async def`. Bodies of one client's proxies do not overlap."""

    def on_closed(self, reason: str) -> Any:
        """Called once, last: "closed" (here or by the client), "resource" (by the provider),
        "service" (the provider is gone) or "link" (the link is gone)."""

class Delivery:
    """The part of a client that its notifications go through."""

    def __init__(self) -> None: ...
