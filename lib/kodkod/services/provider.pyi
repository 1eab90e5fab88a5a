from collections.abc import Awaitable, Iterable
from typing import Any, Protocol

from .registry import ServiceSelector
from .resource import ServiceResource

class _Handler(Protocol):
    def handle(self, index: int | str, arguments: Any, gid: int, client: int) -> Any:
        """Answers a call; plain, `async def`, or returning an awaitable."""

class Session:
    """One open client of one service, as its provider knows it."""

    client: Any
    provider: ServiceProvider
    service: tuple[Any, ...]
    handle: Any
    owner: Any
    gid: int
    resources: dict[int, ServiceResource]
    calls: list[Any]
    id: int

    def __init__(
        self, client: Any, provider: ServiceProvider, service: tuple[Any, ...]
    ) -> None: ...
    def end(self, error: str) -> None: ...

class ServiceProvider:
    """Serves clients in other apps, from install() to uninstall(); it keeps its app alive."""

    PRIORITY_UNPREFERRED_STRONGLY: int
    PRIORITY_UNPREFERRED: int
    PRIORITY_UNPREFERRED_WEAKLY: int
    PRIORITY_NORMAL: int
    PRIORITY_PREFERRED_WEAKLY: int
    PRIORITY_PREFERRED: int
    PRIORITY_PREFERRED_STRONGLY: int

    name: str
    major: int
    minor: int
    patch: int

    def __init__(
        self,
        name: str,
        major: int,
        minor: int,
        patch: int = 0,
        tags: Iterable[str] | None = None,
    ) -> None: ...
    def provides(
        self,
        selector: ServiceSelector,
        handler: _Handler,
        id: int | None = None,
        priority: int = ...,
        tags: Iterable[str] | None = None,
    ) -> None:
        """Adds a service; `handler.handle(index, arguments, gid, client)` answers its calls.
        Comes before `install`: what is added later is announced by the next one."""

    def install(self) -> None:
        """Announces what was provided until now. AlreadyInstalled, also if an id is taken."""

    def uninstall(self, wait: bool = False) -> Awaitable[None]:
        """Acts at once, awaited or not; with `wait` only when awaited: it then waits until there
        was a client and none is left."""

    def resource(self, client: int, handle: Any) -> Any:
        """The open resource of `client` with this handle, else ResourceClosed."""

    def resources(self) -> list[Any]:
        """All open resources of all clients, in creation order."""

    def on_opened(self, client: int) -> Any:
        """A client has opened. An exception is logged, here and in every hook."""

    def on_closed(self, client: int) -> Any:
        """A client has closed, and so have its resources."""
