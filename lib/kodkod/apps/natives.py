# Files and sockets of MicroPython's own in an app's record: loaded with what first makes one.

from micropython import const

from kodkod.apps import loader

_MOST = const(16)
_ESPIPE = const(29)


def own(thing):
    """Enter it into the record of the app that runs; returns it. Those that the app has closed
    leave the record; beyond 16 the oldest is left to the garbage collector, as on a bare device.
    """
    owned = loader.kernel.current.owned
    if len(owned) >= _MOST:
        owned[:] = [one for one in owned if _is_open(one)]
        for one in owned:
            if len(owned) >= _MOST and _is_native(one):
                owned.remove(one)
                break
    owned.append(thing)
    return thing


def _is_native(thing):
    return hasattr(thing, "seek") or hasattr(thing, "fileno")


def _is_open(thing):
    try:
        if hasattr(thing, "fileno"):
            return thing.fileno() >= 0
        if hasattr(thing, "seek"):
            thing.seek(0, 1)
    except OSError as exc:
        return exc.errno == _ESPIPE
    except ValueError:
        return False
    return True
