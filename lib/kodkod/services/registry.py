# Which providers are installed, who waits for one, and which one an opening client gets.
from asyncio import core, sleep_ms

from .. import errors
from ..channel import wake

providers = []
_waiting = []


def find(selector, owner):
    """The best service for `owner`: allowed, compatible, permitted, of the highest priority."""
    best = rival = denied = None
    seen = []
    for provider in providers:
        for s in provider._announced:
            by_name = selector.major is None and provider.name == selector.uuid
            if not (by_name or s.uuid == selector.uuid) or not selector._allows(s):
                continue
            if selector.major not in (None, s.major) or selector.minor > s.minor:
                seen.append(f"{s.major}.{s.minor} of {provider.name}")
            elif not _permitted(owner, s):
                denied = s
            elif best is None or s.priority > best.priority:
                best, rival = s, None
            elif s.priority == best.priority:
                rival = s
    if rival:
        raise errors.Ambiguous(
            f"{best.provider.name} and {rival.provider.name} both provide {selector.uuid}"
            f" with priority {best.priority}: restrict the selector"
        )
    if best:
        return best
    if denied:
        raise errors.Denied(f"{owner.name} may not open {denied.provider.name}")
    if seen:
        wanted = f"{selector.uuid} {selector.major}.{selector.minor}"
        raise errors.VersionMismatch(f"{wanted} wanted, there is {', '.join(seen)}")
    raise errors.ServiceNotFound(f"no provider of {selector.uuid}: is its app running?")


def _permitted(owner, service):
    allowed = getattr(owner, "permissions", None)
    provider = service.provider
    if allowed is None or provider._owner is owner:
        return True
    return service.uuid in allowed or provider.name in allowed


def changed():
    """Every waiting open looks again."""
    for task, _ in _waiting:
        wake(task)


async def wait(owner, timeout_ms):
    """Sleeps until the next registration."""
    entry = (core.cur_task, owner)
    _waiting.append(entry)
    try:
        await sleep_ms(timeout_ms)
    finally:
        if entry in _waiting:
            _waiting.remove(entry)


def has_providers(owner):
    for provider in providers:
        if provider._owner is owner:
            return True
    return False


def close_owned(owner):
    """The owner has ended: its providers go, its clients close, none of its waits is left."""
    for provider in list(providers):
        if provider._owner is owner:
            provider._withdraw()
    for provider in list(providers):
        for session in list(provider._sessions.values()):
            if session.owner is owner:
                session.abandon()
    for entry in list(_waiting):
        if entry[1] is owner:
            _waiting.remove(entry)


def listing():
    """One dict a service, as `kod services` shows them."""
    return [
        {
            "uuid": s.uuid,
            "version": [s.major, s.minor],
            "id": s.id,
            "priority": s.priority,
            "tags": list(s.tags),
            "name": p.name,
            "release": [p.major, p.minor, p.patch],
            "app": p._owner and p._owner.name,
            "clients": len([1 for c in p._sessions.values() if c.service is s]),
        }
        for p in providers
        for s in p._announced
    ]
