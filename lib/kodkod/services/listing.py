# What `kod services` shows.


def listing(providers):
    return [
        {
            "uuid": service.uuid,
            "version": [service.major, service.minor],
            "id": service.id,
            "priority": service.priority,
            "tags": list(service.tags),
            "name": provider.name,
            "release": [provider.major, provider.minor, provider.patch],
            "app": provider._owner and provider._owner.name,
            "clients": len([1 for s in provider._sessions.values() if s.service is service]),
        }
        for provider in providers
        for service in provider._announced
    ]
