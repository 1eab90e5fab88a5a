# Modules that are loaded for a task and let go after it: what is rare is to cost no RAM for ever.

import sys


def forget(name):
    """Let go of the library's module `name`: it stays for as long as somebody holds it, an
    object of its classes, or one of its functions that runs."""
    del sys.modules[name]
    parent, _, last = name.rpartition(".")
    if hasattr(sys.modules.get(parent), last):
        delattr(sys.modules[parent], last)


def borrow(name):
    """The library's module `name`. It, and what it loads itself, is forgotten at once, but for
    the services and what they copy with, of which there is to be one for all."""
    before = set(sys.modules)
    try:
        return __import__(name, None, None, ("",))
    finally:  # also what it had loaded when it failed itself
        loaded = set(sys.modules) - before
        services = [new for new in loaded if new[:16] == "kodkod.services."]
        for new in loaded:
            if new not in services and not (services and new == "kodkod.message"):
                forget(new)


class Borrowed:
    """An object without a state of its own, made anew at each use: `make(*args)` of `module`."""

    def __init__(self, module, make, *args):
        self._made_of = module, make, args

    def open(self):
        """The object itself, for several uses in a row."""
        module, make, args = self._made_of
        return getattr(borrow(module), make)(*args)

    def __getattr__(self, name):
        return getattr(self.open(), name)
