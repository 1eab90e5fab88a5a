# Which modules are part of the firmware: built in, or frozen. Found out without running any:
# an import that may allocate nothing finds its module, and fails before it has made it.

import sys

from micropython import heap_lock, heap_unlock

from kodkod.apps import loader


def has(names):
    """Those of `names` (`a.b` for a part of a package) that this firmware has."""
    path = sys.path[:]
    try:
        return loader.meanwhile(_those_of, names)
    finally:
        sys.path[:] = path


def _those_of(names):
    return [name for name in names if _has(name.replace(".", "/"))]


def _has(name):
    sys.path[:] = ()  # built-in ones only, whatever is loaded
    try:
        loader.native(name)
        return True
    except ImportError:  # but its name is interned now, which could not be done below
        pass
    loaded = sys.modules.pop(name, None)
    sys.path.append(".frozen")
    heap_lock()
    try:
        loader.native(name)
    except MemoryError:
        return True
    except Exception:  # ImportError, or a path that is too long
        return False
    finally:
        heap_unlock()
        sys.modules.pop(name, None)  # a new entry may be there, with nothing in it
        if loaded:
            sys.modules[name] = loaded
