# Proxies, and the queue by which a client's app gets their notifications.
from asyncio import CancelledError, core, sleep_ms
from time import ticks_add, ticks_diff, ticks_ms

from micropython import const

from kodkod import errors
from kodkod.message import pack
from kodkod.services import kernel as _k
from kodkod.signal import PARKED, Signal, wake

_QUEUE_BYTES = const(4096)
# What is kept at most of resources that closed before their proxies were made.
_ORPHANS = const(16)
# A backlog is delivered in pieces: one step of the app must stay short.
_STEP_MS = const(10)
_FOREVER = const(1 << 28)
# Whoever waits for the delivery of what was sent before looks again when it is set.
_delivered = Signal()
# A name of the module is found four times as fast as a built-in one.
_int = int
_type = type


class Inbox:
    """The notifications for one handle, kept here until there is a proxy for it."""

    client_ = reason_ = None
    bytes_ = dropped = 0

    def __init__(self):
        self.values_ = []

    def take_(self):
        value, size = self.values_.pop(0)
        self.bytes_ -= size
        return value

    next_ = take_  # what on_notified gets


class ServiceResourceProxy(Inbox):
    """The client's side of a resource. `dropped` counts notifications that found no room."""

    is_closed = False
    # A notification; may be `async def`. And the end, called once, last, with the reason:
    # "closed", "resource", "service" or "link".
    on_notified = on_closed = _k.nothing
    _kodkod_handle = _k.handle

    def __init__(self, client, handle):
        super().__init__()
        self.handle = handle
        client.adopt_(self, handle)

    def close(self):
        """Closes the resource, too. Plain, idempotent, never raises."""
        _k.finish(self.close_)

    def close_(self):
        handle = self.handle
        if handle is not None:
            self.shut_()
            self.client_._close_handle(handle)

    def shut_(self):
        self.handle = None
        self.is_closed = True

    def over_(self):
        reason = self.reason_
        self.reason_ = None
        self.shut_()
        return self.on_closed(reason)


class Delivery:
    """The part of a client that its notifications go through."""

    taken_ = 0
    # Of proxies that were never made, so that these could not count.
    dropped = 0
    owner_ = session_ = task_ = reason_ = None
    idle_ = busy_ = False

    def __init__(self):
        self.queue_ = []
        self.inboxes_ = {}
        self.orphans_ = []

    def adopt_(self, proxy, handle):
        if self.session_ is None:
            self.refuse_()
        early = self.inboxes_.get(handle)
        reason = None
        if early:
            if early.client_:
                raise ValueError(f"handle {handle} has a proxy already")
            proxy.values_ = early.values_
            proxy.bytes_ = early.bytes_
            proxy.dropped = early.dropped
            reason = early.reason_
            self.queue_.extend([proxy] * len(early.values_))
        elif handle not in self.session_.resources:
            reason = "resource"
        self.inboxes_[handle] = proxy
        proxy.client_ = self
        if reason:
            self._handle_closed(handle, reason)
        elif self.queue_:
            self.wake_()

    def _close_handle(self, handle):
        resource = self.session_ and self.session_.resources.get(handle)
        if resource:
            _k.shielded(resource.close_, "closed")
        _k.shielded(self._handle_closed, handle, "closed")

    def _handle_closed(self, handle, reason):
        inbox = self.inboxes_.get(handle)
        if inbox is None or inbox.reason_:
            return
        if not inbox.client_:
            # What has closed before its proxy was made is not kept for ever.
            self.orphans_.append(handle)
            inbox.reason_ = reason
            if len(self.orphans_) > _ORPHANS:
                old = self.inboxes_.pop(self.orphans_.pop(0), None)
                if old:
                    self.dropped += len(old.values_) + old.dropped
        elif reason == "closed" and not self.queue_ and (self.idle_ or not self.task_):
            # Nothing has to be delivered before, and an app may end right after close().
            inbox.reason_ = reason
            del self.inboxes_[handle]
            _k.hook(self.owner_, inbox.over_)
        else:
            self.queue_.append(inbox)  # there may be no memory for it
            inbox.reason_ = reason
            del self.inboxes_[handle]
            self.wake_()

    def _deliver(self, handle, value):
        size = 5 if _type(value) is _int else _size(value)
        if size > _QUEUE_BYTES:
            raise errors.TooLarge(
                f"notification of {size} bytes, at most {_QUEUE_BYTES}, send it in pieces"
            )
        entry = (value, size)
        k = _k.kernel
        k.shield += 1
        try:
            self.owner_.messages += 1
            inbox = self.inboxes_.get(handle)
            if inbox is None:
                inbox = self.inboxes_[handle] = Inbox()
                inbox.handle = handle
            values = inbox.values_
            total = inbox.bytes_ + size
            if len(values) >= self.limit_ or total > _QUEUE_BYTES:
                self.overflowed_(inbox, entry, size)
            else:
                # Where there is no memory, a turn too many does no harm, one too few would.
                if inbox.client_:
                    self.queue_.append(inbox)
                values.append(entry)
                inbox.bytes_ = total
                if inbox.client_ and (self.idle_ or self.task_ is None):
                    self.wake_()
        finally:
            k.shield -= 1

    def overflowed_(self, inbox, entry, size):
        inbox.dropped += 1
        if self.overflow_ == "close":
            self._close_handle(inbox.handle)
        elif self.overflow_ == "drop_oldest":
            # The place in the queue of the oldest is now that of the next one.
            inbox.take_()
            while inbox.bytes_ + size > _QUEUE_BYTES:
                inbox.take_()
                inbox.dropped += 1
            inbox.bytes_ += size
            inbox.values_.append(entry)

    def wake_(self):
        if self.idle_:
            self.idle_ = False
            wake(self.task_)
        elif self.task_ is None and self.queue_:
            self.task_ = _k.kernel.task(self.owner_, self.attend_(), True)

    async def attend_(self):
        # The one task that delivers, so that bodies never overlap.
        queue = self.queue_
        try:
            while queue or self.session_:
                start = ticks_ms()
                while queue:
                    inbox = queue.pop(0)
                    result = None
                    # Who waits for this sees it after this step, whatever comes of it.
                    self.taken_ += 1
                    if _delivered._tasks:
                        _delivered.set()
                    try:
                        if inbox.values_:
                            result = inbox.on_notified(inbox.next_())
                        elif inbox.reason_:
                            result = inbox.over_()
                        if result is not None and hasattr(result, "__next__"):
                            self.busy_ = True
                            await result
                    except (Exception, CancelledError) as e:
                        if isinstance(e, MemoryError) or getattr(self.owner_, "verdict", None):
                            raise
                        _k.kernel.log_exception(self.owner_, e, "on_notified")
                    self.busy_ = False
                    if ticks_diff(ticks_ms(), start) > _STEP_MS:
                        await sleep_ms(0)
                        start = ticks_ms()
                if self.session_:
                    self.idle_ = True
                    self.task_.data = PARKED
                    yield
        finally:
            self.idle_ = self.busy_ = False
            self.task_ = None
            queue.clear()

    async def flush_(self, timeout_ms):
        # What was sent before the handler returned is delivered before the caller goes on,
        # unless the caller is the one who delivers, or whom that has made and may wait for.
        task = core.cur_task
        deliverer = self.task_
        if task is deliverer:
            return
        if self.busy_ and _k.kernel.maker(self.owner_, task) == id(deliverer) >> 2:
            return
        mark = self.taken_ + len(self.queue_)
        end = ticks_add(ticks_ms(), _FOREVER if timeout_ms is None else timeout_ms)
        left = 1
        while self.taken_ < mark and left > 0 and self.task_:
            left = ticks_diff(end, ticks_ms())
            await _delivered.wait(max(left, 0))


def _size(value):
    # About the packed size of a copied value.
    if value is None:
        return 5
    return len(memoryview(value)) + 3 if _type(value) in (str, bytes) else len(pack(value))
