# Providers and what they announce; a session is what a provider knows of one client.
from os import urandom

from kodkod import errors
from kodkod.channel import Signal
from kodkod.services import kernel as _k
from kodkod.services import registry


class Service:
    """One selector that a provider provides."""


class Session:
    """One open client of one service."""

    def __init__(self, service, client, owner):
        self.service = service
        self.provider = provider = service.provider
        self.handle = service.handle
        self.client = client
        self.owner = owner
        self.gid = owner.gid if owner else 0
        self.id = _random(provider._sessions)
        self.resources = {}
        self.calls = []
        provider._sessions[self.id] = self

    def end(self, error):
        """Out of all maps, calls cancelled, resources closed in creation order, waiters, hook."""
        provider = self.provider
        if provider._sessions.pop(self.id, None) is None:
            return
        self.client = None
        for call in list(self.calls):
            call.finish(error(f"{provider.name}: closed during the call"))
            call.cancel()
        for handle in sorted(self.resources):
            if handle in self.resources:
                self.resources[handle].close()
        provider._had_client = True
        provider._idle.set()
        _k.hook(provider._owner, provider.on_closed, self.id)


class ServiceProvider:
    """Serves clients in other apps, from install() to uninstall(); it keeps its app alive."""

    PRIORITY_UNPREFERRED_STRONGLY = 0x10
    PRIORITY_UNPREFERRED = 0x30
    PRIORITY_UNPREFERRED_WEAKLY = 0x50
    PRIORITY_NORMAL = 0x80
    PRIORITY_PREFERRED_WEAKLY = 0xB0
    PRIORITY_PREFERRED = 0xD0
    PRIORITY_PREFERRED_STRONGLY = 0xF0

    _announced = ()
    _owner = None
    _running = 0

    def __init__(self, name, major, minor, patch=0, tags=None):
        self.name = name
        self.major = major
        self.minor = minor
        self.patch = patch
        self._tags = tuple(tags or ())
        self._services = []
        self._sessions = {}
        self._turns = []
        self._idle = Signal()
        # So far from its wrap at 29 bits that handles grow in creation order.
        self._next_handle = _random(()) >> 2

    def provides(self, selector, handler, id=None, priority=PRIORITY_NORMAL, tags=None):
        """Adds a service; `handler.handle(index, arguments, gid, client)` answers its calls."""
        service = Service()
        service.provider = self
        service.uuid = selector.uuid
        service.major = selector.major
        service.minor = selector.minor
        service.handle = handler.handle
        service.priority = priority
        service.id = id
        service.tags = self._tags + tuple(tags or ())
        self._services.append(service)

    def install(self):
        """Announces what was provided until now."""
        if self in registry.providers:
            raise errors.AlreadyInstalled(f"{self.name} is installed already")
        taken = [s.id for p in registry.providers for s in p._announced]
        for service in self._services:
            if service.id is None:
                service.id = _random(taken)
            elif service.id in taken:
                raise errors.AlreadyInstalled(f"{self.name}: service id {service.id} is taken")
            taken.append(service.id)
        self._owner = _k.kernel.current
        self._had_client = False
        self._announced = tuple(self._services)
        registry.providers.append(self)
        registry.changed.set()

    def uninstall(self, wait=False):
        """Acts at once, awaited or not; with `wait` only when awaited: it then waits until there
        was a client and none is left."""
        if not wait:
            _k.shielded(self._withdraw)
        return self._uninstalled(wait)

    async def _uninstalled(self, wait):
        while wait and self._announced and (self._sessions or not self._had_client):
            await self._idle.wait()
        _k.shielded(self._withdraw)

    def _withdraw(self):
        # Leaves the registry last: an app that dies in a hook is found there, to do the rest.
        self._announced = ()
        for session in list(self._sessions.values()):
            client = session.client
            session.end(errors.ServiceClosed)
            if client is not None:
                client._service_closed()
        self._idle.set()
        if self in registry.providers:
            registry.providers.remove(self)
            _k.kernel.released(self._owner)

    def resource(self, client, handle):
        """The open resource of `client` with this handle."""
        session = self._sessions.get(client)
        found = session and type(handle) is int and session.resources.get(handle)
        if not found:
            raise errors.ResourceClosed(f"{self.name}: client {client} has no resource {handle}")
        return found

    def resources(self):
        """All open resources of all clients, in creation order."""
        found = {}
        for session in self._sessions.values():
            found.update(session.resources)
        return [found[handle] for handle in sorted(found)]

    def on_opened(self, client):
        """A client has opened."""

    def on_closed(self, client):
        """A client has closed, and so have its resources."""


def _random(taken):
    while True:
        number = int.from_bytes(urandom(4), "little") >> 2
        if number not in taken:
            return number
