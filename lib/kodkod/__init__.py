# Kodkod: several isolated apps with services on one device.
# Public names load when they are first used: what an app does not use costs it nothing.

_HOME = {
    "run": "apps.kernel",
    "spawn": "apps.kernel",
    "ready": "apps.kernel",
    "Channel": "channel",
    "service": "services.style",
    "Resource": "services.style",
    "connect": "services.style",
}


def __getattr__(name):
    if name == "__all__":
        return list(_HOME)
    if name == "defines":
        from kodkod.apps.kernel import defines

        return defines()
    home = _HOME.get(name, name)
    try:
        module = __import__("kodkod." + home, None, None, (name,))
    except ImportError:
        raise AttributeError(name)
    return module if home == name else getattr(module, name)
