# Which providers are installed, and which of them an opening client gets.
from kodkod import errors
from kodkod.channel import Signal

providers = []
# Every waiting open looks again when it is set.
changed = Signal()


def find(selector, owner):
    """The best service for `owner`: allowed, compatible, permitted, of the highest priority."""
    uuid = selector.uuid
    major = selector.major
    permitted = getattr(owner, "permissions", None)
    best = rival = denied = None
    seen = ""
    for provider in providers:
        name = provider.name
        for service in provider._announced:
            if service.uuid != uuid and (major is not None or name != uuid):
                continue
            if not selector._allows(provider, service.tags):
                continue
            if major is not None and (major != service.major or selector.minor > service.minor):
                seen += f" {service.major}.{service.minor} ({name})"
            elif not (
                permitted is None
                or provider._owner is owner
                or service.uuid in permitted
                or name in permitted
            ):
                denied = name
            elif best is None or service.priority > best.priority:
                best = service
                rival = None
            elif service.priority == best.priority:
                rival = name
    if rival:
        raise errors.Ambiguous(
            f"{best.provider.name} and {rival} both provide {uuid}: restrict the selector"
        )
    if best:
        return best
    if denied:
        raise errors.Denied(f"{owner.name} is not permitted to open {denied}")
    if seen:
        raise errors.VersionMismatch(f"{uuid}: {major}.{selector.minor} wanted, there is{seen}")
    raise errors.ServiceNotFound(f"no provider of {uuid}: does its app run?")


def has_providers(owner):
    """Whether `owner` still serves."""
    return owner in [provider._owner for provider in providers]


def close_owned(owner):
    """The owner has ended: its providers are withdrawn and its clients closed."""
    for provider in list(providers):
        if provider._owner is owner:
            provider._withdraw()
    for provider in list(providers):
        for session in list(provider._sessions.values()):
            if session.owner is owner:
                session.client._forget()
                session.end(errors.ClientClosed)


def listing():
    """One dict a service, for `kod services`."""
    from kodkod.services.listing import listing

    return listing(providers)
