"""The second style on CPython: `connect()` to a service, its methods by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from kod.channel import Signal
from kod.selector import ServiceSelector
from kod.services_client import OPEN_MS, ServiceClient, ServiceResourceProxy

# lib/kodkod/services/style.py has the same: how a resource that a method returns crosses.
HANDLE = "kodkod:handle"


class connect:
    """`async with connect(name, uuid or selector) as remote: await remote.method(...)`."""

    def __init__(
        self,
        what: str | ServiceSelector,
        timeout_ms: int | None = OPEN_MS,
        device: Any = None,
        **options: Any,
    ) -> None:
        selector = ServiceSelector(what) if isinstance(what, str) else what
        self._client = _Client(selector, **options)
        self._timeout_ms = timeout_ms
        self._device = device

    async def __aenter__(self) -> _Remote:
        return _Remote(await self._client.open(self._timeout_ms, device=self._device))

    async def __aexit__(self, *exc: object) -> None:
        self._client.close()


class _Client(ServiceClient):
    def _arrived(self, result: Any) -> Any:
        if isinstance(result, dict) and HANDLE in result:
            return _Proxy(self, result[HANDLE])
        return result


class _Remote:
    """The service's methods; nothing else, so that each name is free for them."""

    def __init__(self, client: ServiceClient) -> None:
        self._invoke = client.invoke

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        if name[0] == "_":
            raise AttributeError(name)
        invoke = self._invoke

        def method(*args: Any) -> Awaitable[Any]:
            # A single argument travels as it is, unless it could be taken for the list of all.
            if len(args) == 1 and not isinstance(args[0], (list, tuple)):
                return invoke(name, args[0])
            return invoke(name, args)

        setattr(self, name, method)
        return method


class _Proxy(ServiceResourceProxy):
    """A resource's methods, and its notifications: `async for message in proxy`."""

    def __init__(self, client: ServiceClient, handle: int) -> None:
        self._changed = Signal()
        super().__init__(client, handle)
        self._invoke = client.invoke

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        if name[0] == "_":
            raise AttributeError(name)
        invoke = self._invoke

        def method(*args: Any) -> Awaitable[Any]:
            return invoke("." + name, (self.handle, *args))

        setattr(self, name, method)
        return method

    def _next(self) -> None:
        """The messages stay where they arrive, within its bounds, until they are asked for."""

    def on_notified(self, _: Any) -> None:
        if self._reason:
            self._over()
        self._changed.set()

    def on_closed(self, reason: str) -> None:
        self._changed.set()

    def __aiter__(self) -> _Proxy:
        return self

    async def __anext__(self) -> Any:
        while not self._values:
            if self.is_closed:
                raise StopAsyncIteration
            await self._changed.wait()
        return self._take()
