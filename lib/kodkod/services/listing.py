# What `kod services` shows: in few bytes, whatever an app has put there, since one that spoils
# the list spoils it for all.

from kodkod.errors import legible


def _name(value, most=40):
    # No str() of what is none: that may be the app's own code.
    text = value if type(value) is str else type(value).__name__
    return legible(text[:most], 2 * most)


def _number(value):
    return value if type(value) is int and 0 <= value < 1 << 30 else None


def _id(value):
    return _name(value) if type(value) is str else _number(value)


def listing(providers):
    return [
        {
            "uuid": _name(service[0]),
            "version": [_number(service[1]), _number(service[2])],
            "priority": service[3],
            "tags": [_name(tag, 16) for tag in service[4][:4]],
            "id": _id(service[5]),
            "name": _name(provider.name),
            "release": [_number(n) for n in (provider.major, provider.minor, provider.patch)],
            "app": provider.owner_ and _name(provider.owner_.name),
            "clients": len([1 for s in provider.sessions_.values() if s.service is service]),
        }
        for provider in providers
        for service in provider.announced_
    ]
