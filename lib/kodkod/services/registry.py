# What a client asks for, which providers are installed, and which of them it gets.
from kodkod import errors
from kodkod.signal import Signal

providers = []
# Every waiting open looks again when it is set.
changed = Signal()


class ServiceSelector:
    """A service's identity. Without `major` every version fits, and a provider's name will do."""

    def __init__(self, uuid, major=None, minor=0):
        self.uuid = uuid
        self.major = major
        self.minor = minor

    def matches(self, other):
        """Whether uuid, major and minor are all equal."""
        return (self.uuid, self.major, self.minor) == (other.uuid, other.major, other.minor)

    def restrict(self):
        """A copy that can `allow` and `deny` providers by name, version and tag."""
        from kodkod.services.restricted import Restricted

        return Restricted(self.uuid, self.major, self.minor)

    def _allows(self, provider, tags):
        return True


def find(selector, owner):
    """(provider, service) that is best for `owner`: allowed, compatible, permitted, and of the
    highest priority. A service is (uuid, major, minor, priority, tags, id, handle)."""
    uuid = selector.uuid
    major = selector.major
    permitted = getattr(owner, "permissions", None)
    best = rival = denied = None
    top = -1
    seen = ""
    for provider in providers:
        name = provider.name
        for service in provider.announced_:
            if service[0] != uuid and (major is not None or name != uuid):
                continue
            if not selector._allows(provider, service[4]):
                continue
            if major is not None and (major != service[1] or selector.minor > service[2]):
                seen += f" {service[1]}.{service[2]} ({name})"
            elif not (
                permitted is None
                or provider.owner_ is owner
                or service[0] in permitted
                or name in permitted
            ):
                denied = name
            elif best is None or service[3] > top:
                best = provider, service
                top = service[3]
                rival = None
            elif service[3] == top:
                rival = name
    if rival:
        raise errors.Ambiguous(f"{best[0].name} and {rival} provide {uuid}: restrict the selector")
    if best:
        return best
    if denied:
        raise errors.Denied(f"{owner.name} may not open {denied}: see its permissions")
    if seen:
        raise errors.VersionMismatch(
            f"{uuid}: {major}.{selector.minor} wanted, there is{seen}: update one side"
        )
    raise errors.ServiceNotFound(f"no provider of {uuid}: does its app run?")


def has_providers(owner):
    """Whether `owner` still serves."""
    return owner in [provider.owner_ for provider in providers]


def close_owned(owner, clients=True):
    """The owner ends: its providers are withdrawn and, if `clients`, its clients closed."""
    for provider in list(providers):
        if provider.owner_ is owner:
            provider.withdraw_()
    for provider in list(providers) if clients else ():
        for session in list(provider.sessions_.values()):
            # One that a hook has ended meanwhile has no owner.
            if session.owner is owner:
                if session.client:
                    session.client.shut_(None)
                session.end("ClientClosed")


def listing():
    """One dict a service, for `kod services`."""
    from kodkod.services.listing import listing

    return listing(providers)
