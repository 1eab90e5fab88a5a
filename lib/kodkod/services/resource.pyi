from typing import Any

from .provider import ServiceProvider

class ServiceResource:
    """Belongs to one client of `provider` and closes with it. Returned by a handler, it crosses
    as its handle."""

    is_closed: bool
    handle: int

    def __init__(
        self, provider: ServiceProvider, client: int, notifiable: bool = False
    ) -> None: ...
    def notify(self, value: Any, close: bool = False) -> None:
        """Sends `value` to the proxy and returns at once; `close` closes the resource after it.
        ResourceClosed, NotNotifiable, NotSerializable, TooLarge (4 KB)."""

    def close(self) -> None:
        """Idempotent; calls `on_closed` once and tells the proxy."""

    def on_closed(self) -> Any:
        """Release what the resource holds. Called once, whoever closed it."""
