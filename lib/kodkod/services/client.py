# Clients: opening, calling, and handing notifications to proxies.
from asyncio import core, sleep_ms
from time import ticks_add, ticks_diff, ticks_ms

from kodkod import errors
from kodkod.channel import PARKED, Signal, wake
from kodkod.message import copy, pack
from kodkod.services import kernel as _k
from kodkod.services import registry
from kodkod.services.call import Call, crossing
from kodkod.services.provider import Session
from kodkod.services.resource import Inbox

try:
    from micropython import const
except ImportError:
    const = int

_OPEN_MS = const(100)
_CALL_MS = const(10000)
_PENDING = const(16)
_RUNNING = const(64)
_QUEUE_BYTES = const(4096)
# Inboxes without a proxy that a client keeps at most.
_EARLY = const(16)
# A backlog is delivered in pieces: one step of the app must stay short.
_STEP_MS = const(10)
_FOREVER = const(1 << 28)
_SMALL = const(0x3FFFFFFF)
_UNSET = object()
# Whoever waits for the delivery of what was sent before looks again when it is set.
_taken = Signal()
# What handlers return mostly; anything else is looked at as the provider.
_PLAIN = {bool, str, bytes, float}
# A name of the module is found four times as fast as a built-in one.
_int = int
_str = str
_type = type


class ServiceClient:
    """Opens the service that `selector` names and calls it. `queue` bounds the notifications
    waiting for one proxy; `overflow`: "drop_oldest", "drop_newest" or "close"."""

    id = name = None
    # `dropped`: notifications that found no room before their proxy was made.
    major = minor = patch = dropped = 0
    _taken = 0
    _owner = _session = _task = _reason = None
    # What else becomes of an answer that is no plain value.
    _arrived = None
    _opening = _idle = False
    # In its own queue, a client is what has to be opened again.
    _values = ()

    def __init__(self, selector, queue=64, overflow="drop_oldest", reconnect=False):
        if overflow not in ("drop_oldest", "drop_newest", "close"):
            raise ValueError(f"overflow={overflow!r}")
        self._selector = selector
        self._limit = queue
        self._overflow = overflow
        self._reconnect = reconnect
        self._queue = []
        self._inboxes = {}

    async def open(self, timeout_ms=_UNSET, if_absent=_UNSET):
        """Waits up to timeout_ms (None: not at all) for a provider; returns the client.
        `if_absent`, a value or a function, answers instead of ServiceNotFound."""
        if self._session or self._opening:
            raise errors.AlreadyOpen(f"client of {self._selector.uuid} is open")
        if timeout_ms is _UNSET:
            timeout_ms = _OPEN_MS if if_absent is _UNSET else None
        end = ticks_add(ticks_ms(), timeout_ms or 0)
        owner = _k.kernel.current
        self._opening = True
        try:
            while self._opening and not self._session:
                try:
                    self._attach(registry.find(self._selector, owner), owner)
                except errors.ServiceNotFound as e:
                    left = ticks_diff(end, ticks_ms())
                    if left <= 0 or timeout_ms is None:
                        if if_absent is _UNSET or isinstance(e, errors.VersionMismatch):
                            raise
                        return if_absent() if callable(if_absent) else if_absent
                else:
                    break
                await registry.changed.wait(left)
            if not self._session:
                self._refuse()
            return self
        finally:
            self._opening = False

    def _attach(self, service, owner):
        provider = service.provider
        self._owner = owner
        self._reason = None
        self._session = session = Session(service, self, owner)
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
        # This path is every call's: what a device calls mostly with is settled without copy().
        if _type(index) is not _int and _type(index) is not _str:
            raise errors.UnknownMethod(f"{self.name}: an index is an int or a str")
        if _type(arguments) is not _int or not -_SMALL < arguments < _SMALL:
            arguments = copy(arguments)
        calls = session.calls
        if calls and len(calls) >= _PENDING:
            raise errors.Busy(f"{self.name}: {_PENDING} calls of this client are pending")
        provider = session.provider
        call = None
        if provider._running < _RUNNING:
            try:
                result = k.call4(
                    provider._owner, session.handle, index, arguments, session.gid, session.id
                )
                kind = _type(result)
                if kind is not _int or not -_SMALL < result < _SMALL:
                    if kind in _PLAIN:
                        result = copy(result)
                    elif result is not None:
                        result = call = k.call(provider._owner, _outcome, session, result)
            except Exception as e:
                raise k.call(provider._owner, crossing, e)
            if call and _type(call) is Call:
                result = await call.answer(timeout_ms)
        else:
            call = Call(session, None, index, arguments)
            result = await call.answer(timeout_ms)
        if session.client is None:
            self._refuse()
        if self._queue:
            await self._flush(timeout_ms)
        if call and self._arrived:
            return self._arrived(result)
        return result

    async def _flush(self, timeout_ms):
        # What was sent before the handler returned is delivered before the caller goes on,
        # unless the caller is the one who delivers.
        if core.cur_task is self._task:
            return
        mark = self._taken + len(self._queue)
        end = ticks_add(ticks_ms(), _FOREVER if timeout_ms is None else timeout_ms)
        left = 1
        while self._taken < mark and left > 0 and self._task:
            left = ticks_diff(end, ticks_ms())
            await _taken.wait(max(left, 0))

    def _refuse(self):
        what = f"client of {self._selector.uuid}"
        if self._session:
            raise errors.Denied(f"{what} belongs to another app")
        if self._reason == "service":
            raise errors.ServiceClosed(f"{what}: its provider is gone")
        raise errors.ClientClosed(f"{what} is not open")

    def close(self):
        """Closes its proxies and their resources, too. Plain, idempotent, never raises."""
        self._opening = False
        session = self._session
        if session:
            _k.shielded(self._shut, "closed")
            _k.shielded(session.end, errors.ClientClosed)
        else:
            # It may wait for a provider, to open or to open again.
            self._reason = "closed"
            registry.changed.set()

    def on_reconnected(self):
        """A client with reconnect=True has opened again; its old proxies are closed."""

    def _shut(self, reason):
        self._session = self.id = None
        self._reason = reason
        for handle in sorted(self._inboxes):
            if reason == "closed":
                self._inboxes[handle].handle = None
            self._handle_closed(handle, reason)
        self._inboxes.clear()
        if self._reconnect and reason != "closed":
            self._queue.append(self)
        self._wake()

    def _forget(self):
        # Its app is gone: nobody is told.
        self._session = self._reason = None
        self._queue.clear()
        self._inboxes.clear()

    def _service_closed(self):
        self._shut("service")

    def _adopt(self, proxy, handle):
        if self._session is None:
            self._refuse()
        early = self._inboxes.get(handle)
        reason = None
        if early:
            if early._client:
                raise ValueError(f"handle {handle} has a proxy already")
            proxy._values = early._values
            proxy._bytes = early._bytes
            proxy.dropped = early.dropped
            reason = early._reason
            self._queue.extend([proxy] * len(early._values))
        elif handle not in self._session.resources:
            reason = "resource"
        self._inboxes[handle] = proxy
        proxy._client = self
        if reason:
            self._handle_closed(handle, reason)
        self._wake()

    def _close_handle(self, handle):
        resource = self._session and self._session.resources.get(handle)
        if resource:
            resource.close("closed")
        _k.shielded(self._handle_closed, handle, "closed")

    def _handle_closed(self, handle, reason):
        inbox = self._inboxes.get(handle)
        if inbox is None:
            return
        if inbox._reason is None:
            inbox._reason = reason
        if inbox._client:
            del self._inboxes[handle]
            if reason == "closed" and not self._queue and (self._idle or not self._task):
                # Nothing has to be delivered before, and an app may end right after close().
                _k.hook(self._owner, inbox._over)
            else:
                self._queue.append(inbox)
                self._wake()

    def _deliver(self, handle, value):
        size = 5
        entry = value
        if _type(value) is not _int:
            size = _size(value)
            entry = (value, size)
        k = _k.kernel
        k.shield += 1
        try:
            inbox = self._inboxes.get(handle) or self._early(handle)
            values = inbox._values
            total = inbox._bytes + size
            if len(values) >= self._limit or total > _QUEUE_BYTES:
                self._overflowed(handle, inbox, entry, size)
            else:
                inbox._bytes = total
                values.append(entry)
                if inbox._client:
                    self._queue.append(inbox)
                    if self._idle or self._task is None:
                        self._wake()
        finally:
            k.shield -= 1

    def _overflowed(self, handle, inbox, entry, size):
        inbox.dropped += 1
        if self._overflow == "close":
            self._close_handle(handle)
        elif self._overflow == "drop_oldest":
            # The place in the queue of the oldest is now that of the next one.
            inbox._take()
            while inbox._bytes + size > _QUEUE_BYTES:
                inbox._take()
                inbox.dropped += 1
            inbox._bytes += size
            inbox._values.append(entry)

    def _early(self, handle):
        early = [h for h in self._inboxes if not self._inboxes[h]._client]
        if len(early) >= _EARLY:
            oldest = self._inboxes.pop(min(early))
            self.dropped += len(oldest._values) + oldest.dropped
        inbox = self._inboxes[handle] = Inbox()
        return inbox

    def _wake(self):
        if self._idle:
            self._idle = False
            wake(self._task)
        elif self._task is None and self._queue:
            self._task = _k.kernel.task(self._owner, self._attend(), True)

    async def _attend(self):
        # The one task that delivers, so that bodies never overlap.
        queue = self._queue
        try:
            while queue or self._session:
                start = ticks_ms()
                while queue:
                    inbox = queue.pop(0)
                    result = None
                    try:
                        if inbox._values:
                            result = inbox.on_notified(inbox._take())
                        elif inbox._reason:
                            result = inbox._over()
                        self._taken += 1
                        if _taken._tasks:
                            _taken.set()
                        if result is not None and hasattr(result, "__next__"):
                            await result
                    except Exception as e:
                        _k.kernel.log_exception(self._owner, e, "on_notified")
                    if ticks_diff(ticks_ms(), start) > _STEP_MS:
                        await sleep_ms(0)
                        start = ticks_ms()
                if self._session:
                    self._idle = True
                    self._task.data = PARKED
                    yield
        finally:
            self._idle = False
            self._task = None

    async def _over(self):
        # All proxies of the provider that is gone have been told.
        while self._reason == "service":
            try:
                self._attach(registry.find(self._selector, self._owner), self._owner)
            except errors.KodkodError:
                await registry.changed.wait()
            else:
                result = self.on_reconnected()
                if hasattr(result, "__next__"):
                    await result


def _size(value):
    # About the packed size of a copied value.
    if value is None:
        return 5
    kind = _type(value)
    size = len(memoryview(value)) + 3 if kind is _str or kind is bytes else len(pack(value))
    if size > _QUEUE_BYTES:
        raise errors.TooLarge(f"notification of {size} bytes, at most {_QUEUE_BYTES}")
    return size


def _outcome(session, result):
    # As the provider: nothing of the caller runs what an odd object brings with it.
    return Call(session, result, 0, 0) if hasattr(result, "__next__") else copy(result)
