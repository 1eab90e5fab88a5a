# Clients: opening, calling, and handing notifications to proxies.
from asyncio import core, sleep_ms
from time import ticks_add, ticks_diff, ticks_ms

from .. import errors, message
from ..channel import FOREVER, wake
from ..message import copy
from . import kernel as _k
from . import registry
from .call import RUNNING, Call
from .provider import Session
from .resource import Inbox

try:
    from micropython import const
except ImportError:
    const = int

_OPEN_MS = const(100)
_CALL_MS = const(10000)
_PENDING = const(16)
_QUEUE_BYTES = const(4096)
# Inboxes without a proxy that a client keeps at most.
_EARLY = const(16)
# A backlog is delivered in pieces: one step of the app must stay short.
_STEP_MS = const(10)
_UNSET = object()
# What handlers return mostly; anything else is looked at as the provider.
_PLAIN = {int, bool, str, bytes, float}


class ServiceClient:
    """Opens the service that `selector` names and calls it. `queue` bounds the notifications
    waiting for one proxy; `overflow`: "drop_oldest", "drop_newest" or "close"."""

    id = name = None
    major = minor = patch = 0
    # Notifications that found no room before their proxy was made.
    dropped = 0
    _owner = _task = _reason = None
    _opening = _idle = False

    def __init__(self, selector, queue=64, overflow="drop_oldest", reconnect=False):
        if overflow not in ("drop_oldest", "drop_newest", "close"):
            raise ValueError(f"overflow {overflow!r}: drop_oldest, drop_newest or close")
        self._selector = selector
        self._limit = queue
        self._overflow = overflow
        self._reconnect = reconnect
        self._session = None
        self._queue = []
        self._inboxes = {}

    async def open(self, timeout_ms=_UNSET, if_absent=_UNSET):
        """Waits up to timeout_ms (None: not at all) for a provider; returns the client.
        `if_absent`, a value or a function, answers instead of ServiceNotFound."""
        if self._session is not None or self._opening:
            raise errors.AlreadyOpen(f"client of {self._selector.uuid} is open already")
        if timeout_ms is _UNSET:
            timeout_ms = _OPEN_MS if if_absent is _UNSET else None
        owner = _k.kernel.current
        self._opening = True
        try:
            service = await self._find(owner, timeout_ms)
        except errors.ServiceNotFound as e:
            if if_absent is _UNSET or isinstance(e, errors.VersionMismatch):
                raise
            return if_absent() if callable(if_absent) else if_absent
        finally:
            self._opening = False
        self._attach(service, owner)
        return self

    async def _find(self, owner, timeout_ms):
        end = ticks_add(ticks_ms(), timeout_ms or 0)
        while self._opening:
            try:
                return registry.find(self._selector, owner)
            except errors.ServiceNotFound:
                left = ticks_diff(end, ticks_ms())
                if left <= 0 or timeout_ms is None:
                    raise
            await registry.wait(owner, left)
        self._refuse()

    def _attach(self, service, owner):
        k = _k.kernel
        provider = service.provider
        k.shield += 1
        try:
            session = Session(service, self, owner)
            self._owner = owner
            self._session = provider._sessions[session.id] = session
        finally:
            k.shield -= 1
        self.id = session.id
        self.name = provider.name
        self.major = provider.major
        self.minor = provider.minor
        self.patch = provider.patch
        _k.hook(provider._owner, provider.on_opened, session.id)
        if session.client is None:
            self._refuse()

    async def invoke(self, index, arguments=None, timeout_ms=_CALL_MS):
        """Calls method `index`; `timeout_ms=None` sets no limit."""
        k = _k.kernel
        session = self._session
        if session is None or k.current is not self._owner:
            self._refuse()
        arguments = copy(arguments)
        provider = session.provider
        calls = session.calls
        if calls and len(calls) >= _PENDING:
            raise errors.Busy(f"{self.name}: {_PENDING} calls of this client are pending")
        if provider._running < RUNNING:
            try:
                result = k.call4(
                    provider._owner, session.handle, index, arguments, session.gid, session.id
                )
            except Exception as e:
                raise k.call(provider._owner, _crossing, e)
            if result is not None:
                if type(result) in _PLAIN:
                    result = copy(result)
                else:
                    work = result
                    try:
                        result = k.call(provider._owner, _outcome, work)
                    except Exception as e:
                        raise k.call(provider._owner, _crossing, e)
                    if result is work:
                        result = await self._wait(Call(session, work, 0, 0), timeout_ms)
        else:
            result = await self._wait(Call(session, None, index, arguments), timeout_ms)
        if session.client is None:
            self._refuse()
        if self._queue:
            await self._flush(timeout_ms)
        return result

    async def _wait(self, call, timeout_ms):
        end = timeout_ms is not None and ticks_add(ticks_ms(), timeout_ms)
        try:
            while not call.done:
                left = FOREVER
                if timeout_ms is not None:
                    left = ticks_diff(end, ticks_ms())
                    if left <= 0:
                        raise errors.CallTimeout(f"{self.name}: no answer within {timeout_ms} ms")
                await sleep_ms(left)
        finally:
            call.caller = None
            if not call.done:
                call.cancel()
        if call.error is not None:
            raise call.error
        return call.result

    async def _flush(self, timeout_ms):
        # What was sent before the handler returned is delivered before the caller goes on,
        # unless the caller is the one who delivers.
        if core.cur_task is self._task:
            return
        barrier = _Barrier(core.cur_task)
        self._queue.append(barrier)
        self._wake()
        end = ticks_add(ticks_ms(), FOREVER if timeout_ms is None else timeout_ms)
        try:
            while barrier.task is not None:
                left = ticks_diff(end, ticks_ms())
                if left <= 0:
                    break
                await sleep_ms(left)
        finally:
            barrier.task = None

    def _refuse(self):
        what = f"client of {self._selector.uuid}"
        if self._session is not None:
            raise errors.Denied(f"{what} belongs to another app")
        if self._reason == "service":
            raise errors.ServiceClosed(f"{what}: its provider is gone")
        raise errors.ClientClosed(f"{what} is not open")

    def close(self):
        """Closes its proxies and their resources, too. Plain, idempotent, never raises."""
        self._opening = False
        session = self._session
        if session is None:
            self._reason = "closed"
            self._wake()
            return
        self._shut("closed")
        session.end(errors.ClientClosed)

    def on_reconnected(self):
        """A client with reconnect=True has opened again; its old proxies are closed."""

    def _shut(self, reason):
        self._session = self.id = self.name = None
        self.major = self.minor = self.patch = 0
        self._reason = reason
        for handle in sorted(self._inboxes):
            proxy = self._inboxes[handle]
            if reason == "closed":
                proxy.handle = None
            self._handle_closed(handle, reason)
        self._inboxes.clear()
        if self._idle or self._reconnect:
            self._wake()

    def _forget(self):
        # The app is gone: nobody is told.
        self._session = None
        self._reason = "closed"
        self._queue.clear()
        self._inboxes.clear()

    def _service_closed(self):
        self._shut("service")

    def _adopt(self, proxy):
        if self._session is None:
            self._refuse()
        handle = proxy.handle
        early = self._inboxes.get(handle)
        reason = None
        if early is None:
            if handle not in self._session.resources:
                reason = "resource"
        elif early._client is None:
            proxy._values = early._values
            proxy._bytes = early._bytes
            proxy.dropped = early.dropped
            reason = early._reason
            self._queue.extend([proxy] * len(early._values))
        else:
            raise ValueError(f"handle {handle} has a proxy already")
        self._inboxes[handle] = proxy
        proxy._client = self
        if reason:
            self._handle_closed(handle, reason)
        elif self._queue:
            self._wake()

    def _close_handle(self, handle):
        session = self._session
        resource = session and session.resources.get(handle)
        if resource:
            resource._close("closed")
        self._handle_closed(handle, "closed")

    def _handle_closed(self, handle, reason):
        inbox = self._inboxes.get(handle)
        if inbox is None or inbox._reason is not None:
            return
        inbox._reason = reason
        if inbox._client is None:
            return
        del self._inboxes[handle]
        if reason == "closed" and not self._queue and (self._idle or self._task is None):
            # Nothing is left to be delivered before: an app may end right after its close().
            _k.hook(self._owner, inbox._over, self)
        else:
            self._queue.append(inbox)
            self._wake()

    def _deliver(self, handle, value):
        size = _size(value)
        if size > _QUEUE_BYTES:
            raise errors.TooLarge(f"notification of {size} bytes, at most {_QUEUE_BYTES}")
        inbox = self._inboxes.get(handle)
        k = _k.kernel
        k.shield += 1
        try:
            if inbox is None:
                inbox = self._early(handle)
            values = inbox._values
            inbox._bytes += size
            dropped = 0
            while len(values) >= self._limit or inbox._bytes > _QUEUE_BYTES:
                dropped += 1
                if self._overflow != "drop_oldest":
                    inbox._bytes -= size
                    break
                inbox._bytes -= values.pop(0)[1]
            else:
                values.append((value, size))
                if inbox._client is not None:
                    if not dropped:
                        self._queue.append(inbox)
                    if self._idle or self._task is None:
                        self._wake()
            inbox.dropped += dropped
        finally:
            k.shield -= 1
        if dropped and self._overflow == "close":
            self._close_handle(handle)

    def _early(self, handle):
        early = [h for h in self._inboxes if self._inboxes[h]._client is None]
        if len(early) >= _EARLY:
            oldest = self._inboxes.pop(min(early))
            self.dropped += len(oldest._values) + oldest.dropped
        inbox = self._inboxes[handle] = Inbox()
        return inbox

    def _wake(self):
        if self._idle:
            self._idle = False
            wake(self._task)
        elif self._task is None and (self._queue or self._reconnect):
            self._task = _k.kernel.task(self._owner, self._attend(), True)

    async def _attend(self):
        # The one task that delivers, so that bodies never overlap.
        queue = self._queue
        try:
            while True:
                start = ticks_ms()
                while queue:
                    inbox = queue.pop(0)
                    try:
                        if inbox._values:
                            value, size = inbox._values.pop(0)
                            inbox._bytes -= size
                            result = inbox.on_notified(value)
                        elif inbox._reason:
                            result = inbox._over(self)
                        else:
                            continue
                        if result is not None and hasattr(result, "__next__"):
                            await result
                    except Exception as e:
                        _k.kernel.log_exception(self._owner, e, "on_notified failed")
                    if ticks_diff(ticks_ms(), start) > _STEP_MS:
                        await sleep_ms(0)
                        start = ticks_ms()
                if self._session is None:
                    if self._reason != "service" or not self._reconnect:
                        return
                    await self._open_again()
                else:
                    self._idle = True
                    await sleep_ms(FOREVER)
        finally:
            self._idle = False
            self._task = None

    async def _open_again(self):
        try:
            service = registry.find(self._selector, self._owner)
            self._attach(service, self._owner)
        except errors.KodkodError:
            self._idle = True
            await registry.wait(self._owner, FOREVER)
            self._idle = False
        else:
            result = self.on_reconnected()
            if hasattr(result, "__next__"):
                await result


class _Barrier(Inbox):
    """Stands in the queue for a task that waits until all before it is delivered."""

    _reason = "passed"

    def __init__(self, task):
        self._values = ()
        self.task = task

    def _over(self, client):
        if self.task is not None:
            wake(self.task)
            self.task = None


def _outcome(result):
    return result if hasattr(result, "__next__") else copy(result)


def _crossing(exc):
    return errors.from_wire(*errors.to_wire(exc))


def _size(value):
    # Packed size of a value that was copied; about 5 for a number is near enough.
    kind = type(value)
    if kind is list or kind is dict:
        size = 1 if len(value) < 16 else 3
        for item in value:
            size += _size(item)
            if kind is dict:
                size += _size(value[item])
        return size
    return message._put(value, None, message.LIMIT) if kind in (str, bytes) else 5
