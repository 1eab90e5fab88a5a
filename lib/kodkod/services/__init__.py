# The public names of services; each module loads when one of its names is first used.
_HOMES = {
    "ServiceSelector": "registry",
    "ServiceProvider": "provider",
    "ServiceResource": "resource",
    "ServiceResourceProxy": "proxy",
    "ServiceClient": "client",
}


def __getattr__(name):
    # `from . import kernel` asks here, too, and `import *` for __all__.
    if name == "__all__":
        return list(_HOMES)
    home = _HOMES.get(name, name)
    try:
        module = __import__(f"{__name__}.{home}", None, None, (name,))
    except ImportError:
        raise AttributeError(name)
    return module if home == name else getattr(module, name)
