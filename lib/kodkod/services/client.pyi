from typing import Any, Literal, TypeVar

from .proxy import Delivery
from .registry import ServiceSelector

_Client = TypeVar("_Client", bound="Client")

class Client(Delivery):
    """Opens the service that `selector` names and calls it. `queue` bounds the notifications
    waiting for one proxy."""

    id: int | None
    name: str | None
    major: int
    minor: int
    patch: int
    dropped: int
    """Notifications of resources that closed and never got a proxy to count them."""

    def __init__(
        self,
        selector: ServiceSelector,
        queue: int = 64,
        overflow: Literal["drop_oldest", "drop_newest", "close"] = "drop_oldest",
        reconnect: bool = False,
    ) -> None: ...
    async def open(self: _Client, timeout_ms: int | None = ..., if_absent: Any = ...) -> _Client:
        """Waits up to timeout_ms (100; None: not at all) for a provider; returns the client.
        `if_absent`, a value or a function, answers instead of ServiceNotFound; without
        `timeout_ms` it does not wait. VersionMismatch, Ambiguous, Denied, AlreadyOpen."""

    async def invoke(
        self, index: int | str, arguments: Any = None, timeout_ms: int | None = 10000
    ) -> Any:
        """Calls method `index`; `timeout_ms=None` sets no limit. CallTimeout, Busy,
        ServiceClosed, ClientClosed, what the handler raised, or RemoteError."""

    def close(self) -> None:
        """Closes its proxies and their resources, too. Plain, idempotent, never raises."""

    def on_reconnected(self) -> Any:
        """A client with reconnect=True has opened again; its old proxies are closed. May be
        `async def`."""

class ServiceClient(Client):
    """As above, for apps: what one of them sets on it, the links of hosts do not get."""
