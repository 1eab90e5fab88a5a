# The second style: a class is a service, its public methods are called by name.
from asyncio import core

from kodkod import errors
from kodkod.services import kernel as _k
from kodkod.services.call import AWAITED
from kodkod.services.client import ServiceClient
from kodkod.services.provider import ServiceProvider
from kodkod.services.proxy import ServiceResourceProxy
from kodkod.services.registry import ServiceSelector
from kodkod.services.resource import ServiceResource
from kodkod.signal import Signal

# A resource that a method returns crosses as {_HANDLE: handle}: the client makes a proxy of it.
_HANDLE = "kodkod:handle"
_NONE = object()
_int = int
_list = list
_tuple = tuple
_type = type
_HOOKS = ("on_opened", "on_closed")


def service(name, uuid=None, version=(1, 0), **options):
    """Installs one instance of the class as provider `name` of service `uuid` (default: its name).

    Methods get the client's id, then the caller's arguments; they may be `async def`. `on_opened`
    and `on_closed` are hooks. `.provider` of the class is the ServiceProvider.
    """

    def install(kind):
        kind.provider = _Provider(name, version, kind())
        kind.provider.provides(ServiceSelector(uuid or name, *version), kind.provider, **options)
        kind.provider.install()
        return kind

    return install


class _Provider(ServiceProvider):
    # The client of the plain method that runs.
    caller_ = None

    def __init__(self, name, version, target):
        super().__init__(name, *version)
        target.provider_ = self
        self.target_ = target
        # What is called, by its name; of a resource's method (".name") the class of the last one.
        self.methods_ = {}
        # The client of each async method that runs, by its task.
        self.callers_ = {}
        for hook in _HOOKS:
            if hasattr(target, hook):
                setattr(self, hook, getattr(target, hook))

    def handle(self, index, arguments, gid, client):
        # Its frame stays on the stack as long as it is this small.
        if _type(arguments) is _list or index not in self.methods_:
            return self.apply_(index, arguments, client)
        self.caller_ = client
        try:
            arguments = self.methods_[index](client, arguments)
        finally:
            self.caller_ = None
        if _type(arguments) is _int:
            return arguments
        return self.answer_(arguments, client)

    def apply_(self, index, arguments, client):
        index = str(index)
        if index[:1] == ".":
            resource = self.resource(client, arguments.pop(0))
            kind = _type(resource)
            if self.methods_.get(index) is not kind:
                _check(resource, index[1:], Resource)
                self.methods_[index] = kind
            method = getattr(resource, index[1:])
        else:
            if index not in self.methods_:
                _check(self.target_, index, None)
                self.methods_[index] = getattr(self.target_, index)
            method = self.methods_[index]
            arguments = [client] + (arguments if _type(arguments) is _list else [arguments])
        self.caller_ = client
        try:
            result = method(*arguments)
        finally:
            self.caller_ = None
        return self.answer_(result, client)

    def answer_(self, result, client):
        if isinstance(result, AWAITED):
            return self.later_(result, client)
        return _marked(result)

    async def later_(self, work, client):
        task = core.cur_task
        self.callers_[task] = client
        try:
            return _marked(await work)
        finally:
            del self.callers_[task]


def _check(target, name, base):
    # Only what the class itself defines as a public method. It is looked for as text first:
    # getattr would keep each name that a client makes up, for ever.
    kind = _type(target)
    found = None
    if name[:1] not in ("", "_") and name not in _HOOKS and _bound(kind, name):
        found = getattr(kind, name)
    if not callable(found) or isinstance(found, type) or hasattr(base, name):
        raise errors.UnknownMethod(f"{target.provider_.name} has no method {name}")


def _bound(kind, name):
    return name in kind.__dict__ or any(_bound(base, name) for base in kind.__bases__)


def _marked(result):
    return {_HANDLE: result} if isinstance(result, ServiceResource) else result


class Resource(ServiceResource):
    """A notifiable resource of the client whose call makes it, or of `client`. The client calls
    its public methods."""

    def __init__(self, service, client=None):
        provider = service.provider_
        if client is None:
            client = provider.caller_ or provider.callers_.get(core.cur_task)
        if client is None:
            raise ValueError(
                f"{provider.name}: no call is answered here, give Resource the client"
            )
        super().__init__(provider, client, notifiable=True)
        self.provider_ = provider

    def siblings(self):
        """The other open resources of the service."""
        return [other for other in self.provider_.resources() if other is not self]


class connect:
    """`async with connect(name, uuid or selector) as remote: await remote.method(...)`."""

    def __init__(self, what, timeout_ms=100, **options):
        selector = ServiceSelector(what) if isinstance(what, str) else what
        self.client_ = _Client(selector, **options)
        self._timeout_ms = timeout_ms

    async def __aenter__(self):
        return _Remote(await self.client_.open(self._timeout_ms))

    async def __aexit__(self, *exc):
        self.client_.close()


class _Client(ServiceClient):
    def arrived_(self, result):
        if type(result) is dict and _HANDLE in result:
            return _Proxy(self, result[_HANDLE])
        return result


class _Remote:
    """The service's methods; nothing else, so that each name is free for them."""

    def __init__(self, client):
        self._invoke = client.invoke

    def __getattr__(self, name):
        if name[0] == "_":
            raise AttributeError(name)
        invoke = self._invoke

        def method(value=_NONE, *more):
            # A single argument travels as it is, unless it could be taken for the list of all.
            if more or value is _NONE or _type(value) is _list or _type(value) is _tuple:
                return invoke(name, () if value is _NONE else (value,) + more)
            return invoke(name, value)

        setattr(self, name, method)
        return method


class _Proxy(ServiceResourceProxy):
    """A resource's methods, and its notifications: `async for message in proxy`."""

    def __init__(self, client, handle):
        self._changed = Signal()
        super().__init__(client, handle)
        self._invoke = client.invoke

    def __getattr__(self, name):
        if name[0] == "_":
            raise AttributeError(name)
        invoke = self._invoke
        name = "." + name

        def method(*args):
            return invoke(name, (self.handle,) + args)

        setattr(self, name[1:], method)
        return method

    # The messages stay where they arrive, within its bounds, until they are asked for.
    next_ = _k.nothing

    def on_notified(self, _):
        if self.reason_:
            self.over_()
        self._changed.set()

    def on_closed(self, reason):
        self._changed.set()

    def __aiter__(self):
        return self

    async def __anext__(self):
        while not self.values_:
            if self.is_closed:
                raise StopAsyncIteration
            await self._changed.wait()
        return self.take_()
