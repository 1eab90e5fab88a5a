# Clients: opening, calling, closing.
from time import ticks_add, ticks_diff, ticks_ms

from micropython import const

from kodkod import errors
from kodkod.message import copy
from kodkod.services import kernel as _k
from kodkod.services import registry
from kodkod.services.call import AWAITED, Call, crossing
from kodkod.services.provider import Session
from kodkod.services.proxy import Delivery

_OPEN_MS = const(100)
_CALL_MS = const(10000)
_PENDING = const(16)
_RUNNING = const(64)
_SMALL = const(0x3FFFFFFF)
_UNSET = object()
# What handlers return mostly; anything else is looked at as the provider.
_PLAIN = {bool, str, bytes, float}
# A name of the module is found four times as fast as a built-in one.
_int = int
_str = str
_type = type


class Client(Delivery):
    """Opens the service that `selector` names and calls it. `queue` bounds the notifications
    waiting for one proxy; `overflow`: "drop_oldest", "drop_newest" or "close"."""

    id = name = None
    major = minor = patch = 0
    opening_ = False
    # What else becomes of an answer that is no plain value.
    arrived_ = None
    values_ = ()
    # A client with reconnect=True has opened again; its old proxies are closed.
    on_reconnected = _k.nothing

    def __init__(self, selector, queue=64, overflow="drop_oldest", reconnect=False):
        if queue < 1 or overflow not in ("drop_oldest", "drop_newest", "close"):
            raise ValueError(f"queue={queue} overflow={overflow!r}")
        super().__init__()
        self.selector_ = selector
        self.limit_ = queue
        self.overflow_ = overflow
        self.reconnect_ = reconnect

    async def open(self, timeout_ms=_UNSET, if_absent=_UNSET):
        """Waits up to timeout_ms (None: not at all) for a provider; returns the client.
        `if_absent`, a value or a function, answers instead of ServiceNotFound."""
        if self.session_ or self.opening_:
            raise errors.AlreadyOpen(
                f"client of {self.selector_.uuid}: it is open or opens, close() it"
            )
        if timeout_ms is _UNSET:
            timeout_ms = _OPEN_MS if if_absent is _UNSET else None
        self.owner_ = _k.kernel.current
        try:
            await self.open_(ticks_add(ticks_ms(), timeout_ms or 0))
        except errors.ServiceNotFound as e:
            if if_absent is _UNSET or isinstance(e, errors.VersionMismatch):
                raise
            return if_absent() if callable(if_absent) else if_absent
        return self

    async def open_(self, end):
        # Waits until `end`; None: for ever, whatever is the matter.
        self.opening_ = True
        try:
            while self.opening_:
                try:
                    provider, service = registry.find(self.selector_, self.owner_)
                    break
                except errors.KodkodError as e:
                    left = None
                    if end is not None:
                        left = ticks_diff(end, ticks_ms())
                        if left <= 0 or not isinstance(e, errors.ServiceNotFound):
                            raise
                await registry.changed.wait(left)
            else:
                self.refuse_()
        finally:
            self.opening_ = False
        about = [provider.name, provider.major, provider.minor, provider.patch]
        about = _k.kernel.call(provider.owner_, copy, about, None, "provider")
        _k.shielded(self.begin_, provider, service, *about)
        if self.session_ is None:
            self.refuse_()

    def begin_(self, provider, service, name, major, minor, patch):
        # Whoever is told of its end was told of its begin.
        self.reason_ = None
        self.session_ = session = Session(self, provider, service)
        self.id = session.id
        self.name = name
        self.major = major
        self.minor = minor
        self.patch = patch
        _k.hook(provider.owner_, provider.on_opened, session.id)

    async def invoke(self, index, arguments=None, timeout_ms=_CALL_MS):
        """Calls method `index`; `timeout_ms=None` sets no limit."""
        k = _k.kernel
        session = self.session_
        if session is None or k.current is not self.owner_:
            self.refuse_()
        # This path is every call's: what a device calls mostly with is settled without copy().
        if _type(index) is not _int and _type(index) is not _str:
            raise errors.UnknownMethod(f"{self.name}: an index is an int or a str")
        if _type(arguments) is not _int or not -_SMALL < arguments < _SMALL:
            arguments = copy(arguments, None, "arguments")
        if session.calls and len(session.calls) >= _PENDING:
            raise errors.Busy(
                f"{self.name}: {_PENDING} calls of this client are pending, await one"
            )
        provider = session.provider
        # An object of one block moves MicroPython's search for free memory past what is full;
        # for large ones like the frames of this call it begins anew each time. Worth 2 to 8 us.
        call = (k,)
        if provider.running_ < _RUNNING:
            try:
                result = k.call4(
                    provider.owner_, session.handle, index, arguments, session.gid, session.id
                )
                call = None
                if _type(result) is not _int or not -_SMALL < result < _SMALL:
                    if _type(result) in _PLAIN:
                        result = copy(result, None, "result")
                    elif result is not None:
                        result = call = k.call(provider.owner_, _outcome, session, result)
            except MemoryError:
                raise  # the caller's own: the provider's has ended it
            except Exception as e:
                raise k.call(provider.owner_, crossing, e)
        else:
            call = result = Call(session, None, index, arguments)
        if call and _type(call) is Call:
            result = await call.answer(timeout_ms)
        if session.client is None:
            self.refuse_()
        if self.queue_:
            await self.flush_(timeout_ms)
        if call and self.arrived_:
            return self.arrived_(result)
        return result

    def refuse_(self):
        error = "ClientClosed", "it is not open, open() it"
        if self.session_:
            error = "Denied", "another app opened it, open your own"
        elif self.reason_ == "service":
            step = "wait for it" if self.opening_ else "open() again"
            error = "ServiceClosed", "its provider is gone, " + step
        raise getattr(errors, error[0])(f"client of {self.selector_.uuid}: {error[1]}")

    def close(self):
        """Closes its proxies and their resources, too. Plain, idempotent, never raises."""
        _k.finish(self.close_)

    def close_(self):
        self.opening_ = False
        session = self.session_
        _k.shielded(self.shut_, "closed")
        if session:
            _k.shielded(session.end, "ClientClosed")
        else:
            # It may wait for a provider.
            registry.changed.set()

    def _service_closed(self):
        self.shut_("service")

    def shut_(self, reason):
        # Without a reason its app is gone, and nobody is told.
        self.session_ = self.id = None
        self.reason_ = reason
        if reason:
            for handle in sorted(self.inboxes_):
                # Those told before may have closed it.
                inbox = self.inboxes_.get(handle)
                if reason == "closed" and inbox and inbox.client_:
                    inbox.shut_()
                self._handle_closed(handle, reason)
            if self.reconnect_ and reason == "service":
                self.opening_ = True
                self.queue_.append(self)
            self.wake_()
        else:
            self.queue_.clear()
        self.inboxes_.clear()
        self.orphans_.clear()

    async def over_(self):
        # In its own queue, a client is what has to be opened again, after its proxies are told.
        if self.opening_:
            try:
                await self.open_(None)
            except errors.KodkodError:
                return
            result = self.on_reconnected()
            if hasattr(result, "__next__"):
                await result


class ServiceClient(Client):
    """As above, for apps: what one of them sets on it, the links of hosts do not get."""


def _outcome(session, result):
    # As the provider: nothing of the caller runs what an odd object brings with it.
    if isinstance(result, AWAITED):
        return Call(session, result, 0, 0)
    return copy(result, None, "result")
