from collections.abc import Callable
from typing import Any, TypeVar

from .registry import ServiceSelector
from .resource import ServiceResource

_Kind = TypeVar("_Kind", bound=type)

def service(
    name: str, uuid: str | None = None, version: tuple[int, int] = (1, 0), **options: Any
) -> Callable[[_Kind], _Kind]:
    """Installs one instance of the class as provider `name` of service `uuid` (default: its name).

    Methods get the client's id, then the caller's arguments; they may be `async def`. `on_opened`
    and `on_closed` are hooks. `.provider` of the class is the ServiceProvider. Options are those
    of `ServiceProvider.provides`.
    """

class Resource(ServiceResource):
    """A notifiable resource of the client whose call makes it, or of `client`. The client calls
    its public methods."""

    def __init__(self, service: Any, client: int | None = None) -> None: ...
    def siblings(self) -> list[Any]:
        """The other open resources of the service."""

class connect:
    """`async with connect(name, uuid or selector) as remote: await remote.method(...)`.

    A resource that a method returns is a proxy with its methods, `close()`, and
    `async for message in proxy`. Options are those of `ServiceClient`.
    """

    def __init__(
        self, what: str | ServiceSelector, timeout_ms: int | None = 100, **options: Any
    ) -> None: ...
    async def __aenter__(self) -> Any: ...
    async def __aexit__(self, *exc: object) -> None: ...
