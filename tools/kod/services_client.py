"""Clients and proxies on CPython; kod.services is where users find them.

What arrives comes in the link's thread and is passed to the loop of the client in the order of
the wire, notifications and replies alike. From there on it goes as on a device.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import contextvars
import inspect
import logging
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NoReturn

from kodkod import errors, message

from kod.channel import Signal
from kod.link import Connection, LinkLost
from kod.messages import CALL_MS, CLOSE
from kod.remote_service import RemoteService
from kod.selector import ServiceSelector

if TYPE_CHECKING:
    from kod.device import Device

OPEN_MS = 100
FOREVER_MS = 1 << 28
PENDING = 16  # calls of a client
EARLY = 16  # handles that have sent something and have no proxy yet
GONE = 1024  # handles that are closed and may still get a proxy
QUEUE_BYTES = 4096
_STEP_S = 0.01  # a backlog is delivered in pieces
_AGAIN_S = 1.0  # until a client that cannot reconnect tries again

_UNSET: Any = object()
_hooks: set[asyncio.Task[None]] = set()
_log = logging.getLogger("kod.services")
_device: contextvars.ContextVar[Device | Connection] = contextvars.ContextVar("device")
_delivering: contextvars.ContextVar[ServiceClient] = contextvars.ContextVar("delivering")


@contextlib.contextmanager
def using(device: Device | Connection) -> Iterator[None]:
    """Clients that are opened in this context, and in tasks made in it, open on `device`."""
    token = _device.set(device)
    try:
        yield
    finally:
        _device.reset(token)


class _Session(RemoteService):
    """One open of a client: hands what the link's thread hears to the client's loop, in order."""

    def __init__(self, connection: Connection, client: ServiceClient) -> None:
        super().__init__(connection, next(connection._numbers))
        self.client = client
        self.loop = asyncio.get_running_loop()
        self.inboxes: dict[int, Inbox] = {}
        # What comes too late for a proxy that has closed is counted there.
        self.gone: dict[int, weakref.ref[Inbox] | None] = {}

    def tell(self, function: Callable[..., object], *args: Any) -> None:
        """Run `function` in the loop, unless that has ended."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(function, *args)

    def post_close(self, handle: int | None) -> None:
        """Say that `handle`, or the client, is closed. Nobody waits for the answer: it says what
        was lost of that, and until then what comes too late is counted."""
        content = [CLOSE, next(self.connection._numbers), self.number, handle]
        self.connection._submit(content, None, lambda future: self._has_closed(handle, future))

    # What the link's thread calls

    def _notified(self, handle: int, lost: int, value: Any) -> None:
        self.tell(self.client._deliver, self, handle, lost, value)

    def _closed(self, handle: int, lost: int, reason: str) -> None:
        self.tell(self.client._handle_closed, self, handle, reason, lost)

    def _has_closed(self, handle: int | None, future: Future[Any]) -> None:
        if handle is None:
            self.connection._services.pop(self.number, None)
        if not future.cancelled() and not future.exception():
            for closed, lost in (future.result() or {}).items():  # an older library does not say
                self.tell(self.client._count_late, self, closed, lost)

    def _over(self, reason: str) -> None:
        super()._over(reason)
        self.tell(self.client._shut, self, reason)


class Inbox:
    """The notifications for one handle, kept here until there is a proxy for it."""

    _client: ServiceClient | None = None
    _reason: str | None = None
    _bytes = 0
    _lost = 0  # on the way, as the device counts them
    dropped = 0
    handle: int | None = None

    def __init__(self) -> None:
        self._values: collections.deque[tuple[Any, int]] = collections.deque()

    def on_notified(self, value: Any) -> Any:
        """A notification; may be `async def`."""

    def _over(self) -> Any:
        return None

    def _take(self) -> Any:
        value, size = self._values.popleft()
        self._bytes -= size
        return value

    _next = _take  # what on_notified gets

    def _count_lost(self, lost: int) -> None:
        if lost > self._lost:
            self.dropped += lost - self._lost
            self._lost = lost


class ServiceResourceProxy(Inbox):
    """The client's side of a resource. `dropped` counts notifications that found no room."""

    def __init__(self, client: ServiceClient, handle: int) -> None:
        super().__init__()
        self.handle = handle
        client._adopt(self, handle)

    @property
    def is_closed(self) -> bool:
        return self.handle is None

    def close(self) -> None:
        """Closes the resource, too. Plain, idempotent, never raises."""
        handle = self.handle
        if handle is not None:
            self.handle = None
            assert self._client
            self._client._close_handle(handle)

    def on_closed(self, reason: str) -> Any:
        """Called once, last: "closed", "resource", "service" or "link"."""

    def _over(self) -> Any:
        reason = self._reason or "closed"
        self.handle = self._reason = None
        return self.on_closed(reason)

    def _kodkod_handle(self) -> int | None:
        return self.handle


class ServiceClient:
    """Opens the service that `selector` names and calls it. `queue` bounds the notifications
    waiting for one proxy; `overflow`: "drop_oldest", "drop_newest" or "close"."""

    id: int | None = None
    name: str | None = None
    major = minor = patch = 0
    dropped = 0  # notifications that found no room before their proxy was made
    _session: _Session | None = None
    _reason: str | None = None
    _reopen: Connection
    _task: asyncio.Task[None] | None = None
    _opening = False
    _busy = False  # with an async on_notified
    _taken = 0
    # What else becomes of an answer.
    _arrived: Callable[[Any], Any] | None = None

    def __init__(
        self,
        selector: ServiceSelector,
        queue: int = 64,
        overflow: str = "drop_oldest",
        reconnect: bool = False,
    ) -> None:
        if queue < 1 or overflow not in ("drop_oldest", "drop_newest", "close"):
            raise ValueError(f"queue={queue} overflow={overflow!r}")
        self._selector = selector
        self._limit = queue
        self._overflow = overflow
        self._reconnect = reconnect
        self._queue: collections.deque[Inbox | ServiceClient] = collections.deque()
        self._waits: dict[asyncio.Future[Any], Future[Any]] = {}
        self._taken_more = Signal()

    async def open(
        self,
        timeout_ms: int | None = _UNSET,
        if_absent: Any = _UNSET,
        device: Device | Connection | None = None,
    ) -> Any:
        """Waits up to timeout_ms (None: not at all) for a provider on `device` (else the one of
        `using`); returns the client. `if_absent`, a value or a function, answers instead of
        ServiceNotFound."""
        if self._session or self._opening:
            raise errors.AlreadyOpen(f"client of {self._selector.uuid}: it is open, close() it")
        if timeout_ms is _UNSET:
            timeout_ms = OPEN_MS if if_absent is _UNSET else None
        connection = _connection(device)
        self._opening = True
        try:
            await self._attach(connection, timeout_ms)
            return self
        except errors.ServiceNotFound as error:
            if if_absent is _UNSET or isinstance(error, errors.VersionMismatch):
                raise
            return if_absent() if callable(if_absent) else if_absent
        finally:
            self._opening = False

    async def _attach(self, connection: Connection, timeout_ms: int | None) -> None:
        session = _Session(connection, self)
        options = (self._limit, self._overflow)
        future = connection.begin_open(session, self._selector.wire(), timeout_ms, *options)
        about = await self._answer(session, future)
        self._reason = session.reason
        if session.reason:
            self._refuse()
        self._session = session
        self.name, self.major, self.minor, self.patch, self.id = about

    async def invoke(
        self, index: int | str, arguments: Any = None, timeout_ms: int | None = CALL_MS
    ) -> Any:
        """Calls method `index`; `timeout_ms=None` sets no limit."""
        session = self._session
        if session is None:
            self._refuse()
        if type(index) not in (int, str):
            raise errors.UnknownMethod(f"{self.name}: an index is an int or a str")
        arguments = message.copy(arguments, name="arguments")
        if len(self._waits) >= PENDING:
            raise errors.Busy(
                f"{self.name}: {PENDING} calls of this client are pending, await one"
            )
        future = session.submit(index, arguments, timeout_ms)
        result = await self._answer(session, future)
        if self._session is None and self._reason == "closed":
            self._refuse()
        if self._queue:
            await self._flush(timeout_ms)
        return self._arrived(result) if self._arrived else result

    async def _answer(self, session: _Session, future: Future[Any]) -> Any:
        # As asyncio.wrap_future, but close() can end the wait with an error of its own.
        waiter = session.loop.create_future()
        future.add_done_callback(lambda done: session.tell(_pass_on, done, waiter))
        self._waits[waiter] = future
        try:
            return await waiter
        finally:
            del self._waits[waiter]
            future.cancel()

    async def _flush(self, timeout_ms: int | None) -> None:
        # What was sent before the handler returned is delivered before the caller goes on,
        # unless the caller is the one who delivers, or whom that has made and may wait for.
        if self._busy and _delivering.get(None) is self:
            return
        mark = self._taken + len(self._queue)
        end = time.monotonic() + (FOREVER_MS if timeout_ms is None else timeout_ms) / 1000
        while self._taken < mark and self._task and (left := end - time.monotonic()) > 0:
            await self._taken_more.wait(left * 1000)

    def _refuse(self) -> NoReturn:
        what = f"client of {self._selector.uuid}"
        if self._reason == "service":
            raise errors.ServiceClosed(f"{what}: its provider is gone, open() again")
        if self._reason == "link":
            raise LinkLost(f"{what}: its link has ended, connect again")
        raise errors.ClientClosed(f"{what}: it is not open, open() it")

    def close(self) -> None:
        """Closes its proxies and their resources, too. Plain, idempotent, never raises."""
        self._opening = False
        session = self._session
        if session:
            self._shut(session, "closed")
        self._reason = "closed"
        for waiter in self._waits:
            if not waiter.done():
                waiter.set_exception(errors.ClientClosed(f"{self.name}: closed during the call"))

    def on_reconnected(self) -> Any:
        """A client with reconnect=True has opened again; its old proxies are closed."""

    # In the loop, in the order of the wire

    def _shut(self, session: _Session, reason: str) -> None:
        if session is not self._session:
            return
        self._session = self.id = None
        self._reason = session.reason = reason
        session.post_close(None)
        for handle in sorted(session.inboxes):
            if reason == "closed":
                session.inboxes[handle].handle = None
            self._handle_closed(session, handle, reason)
        session.inboxes.clear()
        if self._reconnect and reason == "service":
            self._reopen = session.connection
            self._queue.append(self)
        self._wake(session.loop)

    def _adopt(self, proxy: ServiceResourceProxy, handle: int) -> None:
        session = self._session
        if session is None:
            self._refuse()
        early = session.inboxes.get(handle)
        reason = "resource" if handle in session.gone else None
        if early:
            if early._client:
                raise ValueError(f"handle {handle} has a proxy already")
            proxy._values = early._values
            proxy._bytes = early._bytes
            proxy._lost = early._lost
            proxy.dropped = early.dropped
            reason = early._reason
            self._queue.extend([proxy] * len(early._values))
        session.inboxes[handle] = proxy
        proxy._client = self
        if reason:
            self._handle_closed(session, handle, reason)
        self._wake(session.loop)

    def _close_handle(self, handle: int) -> None:
        session = self._session
        if session:
            session.post_close(handle)
            self._handle_closed(session, handle, "closed")

    def _handle_closed(self, session: _Session, handle: int, reason: str, lost: int = 0) -> None:
        inbox = session.inboxes.get(handle)
        if inbox is None or inbox._client:
            session.gone[handle] = weakref.ref(inbox) if inbox else None
            if len(session.gone) > GONE:
                del session.gone[next(iter(session.gone))]
        if inbox is None:
            return
        inbox._count_lost(lost)
        if inbox._reason is None:
            inbox._reason = reason
        if inbox._client:
            del session.inboxes[handle]
            if reason == "closed" and not self._queue and not self._task:
                _hook(inbox._over)
            else:
                self._queue.append(inbox)
                self._wake(session.loop)

    def _deliver(self, session: _Session, handle: int, lost: int, value: Any) -> None:
        inbox = session.inboxes.get(handle)
        if inbox is None:
            if handle in session.gone or session.reason:
                self._count_late(session, handle, lost, 1)
                return
            inbox = self._early(session, handle)
        inbox._count_lost(lost)
        size = len(message.pack(value))
        inbox._bytes += size
        values = inbox._values
        full = False
        while len(values) >= self._limit or inbox._bytes > QUEUE_BYTES:
            inbox.dropped += 1
            full = True
            if self._overflow != "drop_oldest" or not values:
                inbox._bytes -= size
                break
            inbox._bytes -= values.popleft()[1]
        else:
            values.append((value, size))
            if inbox._client and not full:
                self._queue.append(inbox)
                self._wake(session.loop)
        if full and self._overflow == "close":
            session.post_close(handle)
            self._handle_closed(session, handle, "closed")

    def _count_late(self, session: _Session, handle: int, lost: int, more: int = 0) -> None:
        # Of a proxy that has closed; one that nobody keeps any more counts nothing.
        late = session.gone.get(handle)
        if late and (closed := late()):
            closed._count_lost(lost)
            closed.dropped += more

    def _early(self, session: _Session, handle: int) -> Inbox:
        early = [one for one, inbox in session.inboxes.items() if not inbox._client]
        if len(early) >= EARLY:
            handle_then = min(early)
            oldest = session.inboxes.pop(handle_then)
            if oldest._reason:
                session.gone[handle_then] = None
            self.dropped += len(oldest._values) + oldest.dropped
        inbox = session.inboxes[handle] = Inbox()
        return inbox

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._task is None and self._queue and not loop.is_closed():
            self._task = loop.create_task(self._attend())

    async def _attend(self) -> None:
        # The one task that delivers, so that bodies never overlap.
        _delivering.set(self)
        try:
            start = time.monotonic()
            while self._queue:
                inbox = self._queue.popleft()
                # Who waits for this sees it after this step, whatever comes of it.
                self._taken += 1
                self._taken_more.set()
                try:
                    result = None
                    if isinstance(inbox, Inbox) and inbox._values:
                        result = inbox.on_notified(inbox._next())
                    elif inbox._reason:
                        result = inbox._over()
                    if inspect.isawaitable(result):
                        self._busy = True
                        await result
                except (Exception, asyncio.CancelledError):
                    if _is_cancelled(self._task):
                        raise
                    _log.exception("on_notified")
                self._busy = False
                if time.monotonic() - start > _STEP_S:
                    await asyncio.sleep(0)
                    start = time.monotonic()
        finally:
            self._busy = False
            self._task = None
            self._taken_more.set()

    async def _over(self) -> None:
        # All proxies of the provider that is gone have been told.
        while self._reason == "service":
            try:
                await self._attach(self._reopen, FOREVER_MS)
            except LinkLost:
                self._reason = "link"
            except errors.KodkodError:
                if self._reason == "service":
                    await asyncio.sleep(_AGAIN_S)
            else:
                result = self.on_reconnected()
                if inspect.isawaitable(result):
                    await result


def _connection(device: Device | Connection | None) -> Connection:
    found = device or _device.get(None)
    if found is None:
        raise errors.ClientClosed("no device: open(device=...), or with using(device)")
    return found if isinstance(found, Connection) else found.connection


def _is_cancelled(task: Any) -> bool:
    # Python 3.10 cannot tell it from a body that awaits what somebody cancelled.
    cancelling = getattr(task, "cancelling", None)
    return isinstance(sys.exc_info()[1], asyncio.CancelledError) and (
        cancelling is None or cancelling() > 0
    )


def _pass_on(done: Future[Any], waiter: asyncio.Future[Any]) -> None:
    if waiter.done():
        return
    if done.cancelled():
        waiter.cancel()
    elif error := done.exception():
        waiter.set_exception(error)
    else:
        waiter.set_result(done.result())


def _hook(function: Callable[[], Any]) -> None:
    try:
        result = function()
    except Exception:
        _log.exception("on_closed")
        return
    if inspect.isawaitable(result):
        task = asyncio.ensure_future(_finish(result))
        _hooks.add(task)
        task.add_done_callback(_hooks.discard)


async def _finish(work: Any) -> None:
    try:
        await work
    except Exception:
        _log.exception("on_closed")
