# What an app sees instead of the modules that all share: what it sets there stays its own.
# Views are made at first import, and kept in the app's record.

import sys

from kodkod.apps import loader

_Module = type(sys)
_PARTS = {  # which file of this folder makes the view, and of what
    "asyncio": None,
    "builtins": "files",
    "io": "files",
    "os": "files",
    "vfs": "files",
    "sys": "stdio",
    "socket": "sockets",
    "machine": "peripherals",
    "esp32": "peripherals",
    "_onewire": "peripherals",
    "network": "radio",
    "micropython": "tricks",
    "gc": "tricks",
    "_thread": "tricks",
}


class View:
    """`module`, and what an app has set in its view of it."""

    def __init__(self, module):
        self._module = module

    def __getattr__(self, name):
        if name == "_task_queue":  # asyncio.core's, with the tasks of all in it
            raise AttributeError(name)
        value = getattr(self._module, name)
        if isinstance(value, _Module):  # asyncio.core
            value = View(value)
        elif not callable(value):  # it may change
            return value
        setattr(self, name, value)
        return value


def module(app, name):
    """The object that `import name` gives to `app`, or None when that is no view."""
    top = name.split(".")[0]
    if top not in _PARTS:
        top = top[1:]  # uos, usocket: names of old
        if name[0] != "u" or top not in _PARTS:
            return None
    view = app.facades.get(top)
    if view is None:
        view = app.facades[top] = View(loader.real(top))
        part = _PARTS[top]
        if part:
            getattr(loader.real("kodkod.apps." + part, True), top)(app, view)
    return view


def star(view):
    """A module with all of `view`: only from a true one can * be imported."""
    blank = loader.real("kodkod.apps.blank", True)
    del sys.modules["kodkod.apps.blank"]
    for name in dir(view._module):
        if name[0] != "_":
            setattr(blank, name, getattr(view, name))
    return blank
