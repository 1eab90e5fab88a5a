# What `kod services` shows.


def listing(providers):
    return [
        {
            "uuid": service[0],
            "version": [service[1], service[2]],
            "priority": service[3],
            "tags": list(service[4]),
            "id": service[5],
            "name": provider.name,
            "release": [provider.major, provider.minor, provider.patch],
            "app": provider.owner_ and provider.owner_.name,
            "clients": len([1 for s in provider.sessions_.values() if s.service is service]),
        }
        for provider in providers
        for service in provider.announced_
    ]
