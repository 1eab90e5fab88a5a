# What an app imports and has not yet: its own modules, and its views of those that all share.
# Loaded while something is imported; what it has to remember is in loader.py.

import sys

from kodkod.apps import loader

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


def own(app, name, args):
    """A module of the app's own, or one that is to be."""
    before = loader.inside
    if before is app:
        return loader.native(name, *args)
    loader.kernel.shield += 1
    try:
        if before:
            _take_out(before)
        _put_in(app)
    finally:
        loader.kernel.shield -= 1
    try:
        return loader.native(name, *args)
    finally:
        loader.kernel.shield += 1
        try:
            _take_out(app)
            if before:
                _put_in(before)
        finally:
            loader.kernel.shield -= 1


def other(app, name, top, wanted, args):
    """A module that all share, as the app sees it."""
    found = app.facades.get(top) or _view(app, name)
    if found is None:
        return _new(app, name, top, args)
    if wanted and name != top:
        for part in name.split(".")[1:]:
            found = getattr(found, part)
    return _star(found) if wanted == ("*",) and type(found) is loader.View else found


def relative(name, wanted):
    """What a package of the firmware imports from itself, before MicroPython 1.27."""
    return loader.import_(_absolute(name, wanted), None, None, wanted, 0)


def _absolute(name, wanted):
    # An app's own modules ask for no relative name.
    for package in list(sys.modules):
        if hasattr(sys.modules[package], "__path__") and package[:6] not in ("kodkod", "asynci"):
            try:
                loader.native(package + "." + (name or wanted[0]), None, None, ("x",))
            except ImportError:
                continue
            return package + "." + name if name else package
    raise ImportError("no package has " + (name or wanted[0]))


def _view(app, name):
    # The object that `import name` gives to `app`, or None when that is no view.
    top = name.split(".")[0]
    if top not in _PARTS:
        top = top[1:]  # uos, usocket: names of old
        if name[0] != "u" or top not in _PARTS:
            return None
    view = app.facades.get(top)
    if view is None:
        view = app.facades[top] = loader.View(loader.real(top))
        part = _PARTS[top]
        if part:
            getattr(loader.real("kodkod.apps." + part, True), top)(app, view)
    return view


def _star(view):
    # A module with all of `view`: only from a true one can * be imported.
    blank = loader.real("kodkod.apps.blank", True)
    del sys.modules["kodkod.apps.blank"]
    for name in dir(view._module):
        if name[0] != "_":
            setattr(blank, name, getattr(view, name))
    return blank


def _new(app, name, top, args):
    # A module that the device has: one in Python is loaded once for each app, one in C is shared.
    app.names.append(top)
    mine = False
    try:
        module = own(app, name, args)
        mine = top in app.modules or top in sys.modules
        if not mine and name == top:
            app.facades[name] = module
        return module
    finally:
        if not mine:
            app.names.remove(top)


def _put_in(app):
    modules = sys.modules
    for name in list(modules):
        if name.split(".")[0] in app.names:
            loader.shadowed[name] = modules.pop(name)
    for name in app.modules:
        if isinstance(name, str) and name.split(".")[0] in app.names:
            modules[name] = app.modules[name]
    loader.outside = sys.path[:]
    sys.path[:] = loader.path(app)
    loader.inside = app


def _take_out(app):
    modules = sys.modules
    for name in list(modules):
        if name.split(".")[0] in app.names:
            app.modules[name] = modules.pop(name)
    modules.update(loader.shadowed)
    loader.shadowed.clear()
    sys.path[:] = loader.outside
    loader.inside = loader.outside = None
