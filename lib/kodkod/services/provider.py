# Providers and what they announce; a session is what a provider knows of one client.
from os import urandom

from kodkod import errors
from kodkod.services import kernel as _k
from kodkod.services import registry
from kodkod.signal import Signal


class Session:
    """One open client of one service."""

    def __init__(self, client, provider, service):
        self.client = client
        self.provider = provider
        self.service = service
        self.handle = service[6]
        self.owner = owner = client.owner_
        self.gid = owner.gid if owner else 0
        self.resources = {}
        self.calls = []
        self.id = _random()
        while self.id in provider.sessions_:
            self.id = _random()
        provider.sessions_[self.id] = self

    def end(self, error):
        """Out of all maps, calls cancelled, resources closed in creation order, waiters, hook."""
        sessions = self.provider.sessions_
        if sessions.pop(self.id, None):
            try:
                self.end_(error)
            except MemoryError:
                sessions[self.id] = self  # the end of its app does the rest
                raise

    def end_(self, error):
        provider = self.provider
        self.client = None
        for call in list(self.calls):
            call.finish(error)
            call.cancel()
        for handle in sorted(self.resources):
            resource = self.resources.get(handle)
            if resource:
                resource.close_("resource")
        provider.had_client_ = True
        provider.idle_.set()
        _k.hook(provider.owner_, provider.on_closed, self.id)
        # Handlers that ignore their cancellation keep the session, not its app.
        self.owner = None


class ServiceProvider:
    """Serves clients in other apps, from install() to uninstall(); it keeps its app alive."""

    PRIORITY_UNPREFERRED_STRONGLY = 0x10
    PRIORITY_UNPREFERRED = 0x30
    PRIORITY_UNPREFERRED_WEAKLY = 0x50
    PRIORITY_NORMAL = 0x80
    PRIORITY_PREFERRED_WEAKLY = 0xB0
    PRIORITY_PREFERRED = 0xD0
    PRIORITY_PREFERRED_STRONGLY = 0xF0

    announced_ = ()
    owner_ = None
    running_ = 0
    # One for all: whoever waits for the last client to leave looks for himself.
    idle_ = Signal()
    # A client, by its id, has opened; has closed, and so have its resources.
    on_opened = on_closed = _k.nothing

    def __init__(self, name, major, minor, patch=0, tags=None):
        self.name = name
        self.major = major
        self.minor = minor
        self.patch = patch
        self.tags_ = tuple(tags or ())
        self.services_ = []
        self.sessions_ = {}
        self.turns_ = []
        # So far from its wrap at 29 bits that handles grow in creation order.
        self.next_handle_ = _random() >> 2

    def provides(self, selector, handler, id=None, priority=PRIORITY_NORMAL, tags=None):
        """Adds a service; `handler.handle(index, arguments, gid, client)` answers its calls."""
        if not (0 <= priority <= 255 and selector.minor >= 0):  # whoever looks compares them
            raise ValueError(f"{self.name}: a priority is 0 to 255, a minor no less than 0")
        tags = self.tags_ + tuple(tags or ())
        for text in (self.name, selector.uuid, "" if type(id) in (int, type(None)) else id) + tags:
            if type(text) is not str:
                raise TypeError("name, uuid, id and tags are str")
        self.services_.append(
            (selector.uuid, selector.major, selector.minor, priority, tags, id, handler.handle)
        )

    def install(self):
        """Announces what was provided until now."""
        if self in registry.providers:
            raise errors.AlreadyInstalled(f"{self.name} is installed, uninstall() it")
        taken = {s[5] for p in registry.providers for s in p.announced_}
        for service in self.services_:
            if service[5] is not None and service[5] in taken:
                raise errors.AlreadyInstalled(
                    f"{self.name}: service id {service[5]} is taken, use another"
                )
        self.owner_ = _k.kernel.current
        self.had_client_ = False
        self.announced_ = tuple(self.services_)
        registry.providers.append(self)
        registry.changed.set()

    def uninstall(self, wait=False):
        """Acts at once, awaited or not; with `wait` only when awaited: it then waits until there
        was a client and none is left."""
        if not wait:
            _k.shielded(self.withdraw_)
        return self.uninstalled_(wait)

    async def uninstalled_(self, wait):
        while wait and self.announced_ and (self.sessions_ or not self.had_client_):
            await self.idle_.wait()
        _k.shielded(self.withdraw_)

    def withdraw_(self):
        # Leaves the registry last: an app that dies in a hook is found there, to do the rest.
        self.announced_ = ()
        for session in list(self.sessions_.values()):
            if session.client:
                session.client._service_closed()
            session.end("ServiceClosed")
        self.idle_.set()
        if self in registry.providers:
            registry.providers.remove(self)
            _k.kernel.released(self.owner_)

    def resource(self, client, handle):
        """The open resource of `client` with this handle."""
        session = self.sessions_.get(client)
        if session and type(handle) is int and handle in session.resources:
            return session.resources[handle]
        raise errors.ResourceClosed(
            f"{self.name}: client {client} has no resource {handle}, get a new one"
        )

    def resources(self):
        """All open resources of all clients, in creation order."""
        found = {}
        for session in self.sessions_.values():
            found.update(session.resources)
        return [found[handle] for handle in sorted(found)]


def _random():
    return int.from_bytes(urandom(4), "little") >> 2
