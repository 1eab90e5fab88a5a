# Namespaces: each app's imports give its own modules, from its own folder.
# builtins.__import__ is replaced; sys.modules holds an app's modules only while it imports.

import asyncio
import builtins
import io
import select
import sys

from kodkod.apps import facade
from kodkod.storage import flash

_native = builtins.__import__
open = builtins.open
kernel = None
replaced = []  # (object, name, what it was) of the hooks that are in force
_inside = None  # the app whose modules are in sys.modules
_shadowed = {}
_path = None  # sys.path, while an app has its own there


class Handover(BaseException):
    """Leaves a module's body when it hands its main coroutine over (asyncio.run, kodkod.run)."""


def assign(app, folder):
    """`app` lives in `folder`: its top-level modules and packages are its own."""
    app.dir = folder
    app.names = [
        entry.split(".")[0]
        for entry in flash.listdir(folder)
        if "." not in entry or entry[-3:] == ".py" or entry[-4:] == ".mpy"
    ]


def path(app):
    """Where `app` finds modules."""
    if app.path is None:
        app.path = [app.dir] + [place for place in _path or sys.path if place]
    return app.path


def real(name, leaf=False):
    """The module that all share, or that of the device's own code, whoever runs."""
    app = kernel.current
    kernel.current = None  # what it imports is no app's
    try:
        return _native(name, None, None, (name,) if leaf else None)
    finally:
        kernel.current = app


def import_(name, *args):
    app = kernel.current
    if app is None:
        return _native(name, *args)
    scope, _, wanted, level = (
        args if len(args) == 4 else (args + (None, None, None, 0)[len(args) :])
    )
    if level and not scope:  # before 1.27 nobody says which module asks
        name = _absolute(name, wanted)
        args = None, None, wanted, 0
    importer = name
    if scope:  # known from MicroPython 1.27 on
        importer = scope.get("__name__", "")
        if importer[:7] == "kodkod." or importer[:8] == "asyncio.":
            return _import_shared(app, name, args)
        importer = importer if level else name
    top = importer.split(".")[0]
    if top not in app.names:
        found = app.facades.get(top)
        if found is None and app.dir and top != "kodkod":
            found = facade.module(app, name)
            if found is None:
                return _import_new(app, name, top, args)
        if found is None:
            return _import_shared(app, name, args)
        if wanted and name != top:
            for part in name.split(".")[1:]:
                found = getattr(found, part)
        if wanted and type(wanted) is tuple and "*" in wanted and type(found) is facade.View:
            found = facade.star(found)
        return found
    found = app.modules.get(name)
    if found and (wanted or name == top):
        return found
    return _import_own(app, name, args)


def _absolute(name, wanted):
    # What a package of the firmware imports from itself: an app's own ask for no relative name.
    for package in list(sys.modules):
        if hasattr(sys.modules[package], "__path__") and package[:6] not in ("kodkod", "asynci"):
            try:
                _native(package + "." + (name or wanted[0]), None, None, ("x",))
            except ImportError:
                continue
            return package + "." + name if name else package
    raise ImportError("no package has " + (name or wanted[0]))


def _import_shared(app, name, args):
    kernel.current = None  # what the device's own modules import is not the app's view
    try:
        return _native(name, *args)
    finally:
        kernel.current = app


def _import_new(app, name, top, args):
    # A module that the device has: one in Python is loaded once for each app, one in C is shared.
    app.names.append(top)
    mine = False
    try:
        module = _import_own(app, name, args)
        mine = top in app.modules or top in sys.modules
        if not mine and name == top:
            app.facades[name] = module
        return module
    finally:
        if not mine:
            app.names.remove(top)


def _import_own(app, name, args):
    global _inside
    before = _inside
    if before is app:
        return _native(name, *args)
    kernel.shield += 1
    try:
        if before:
            _take_out(before)
        _put_in(app)
    finally:
        kernel.shield -= 1
    try:
        return _native(name, *args)
    finally:
        kernel.shield += 1
        try:
            _take_out(app)
            if before:
                _put_in(before)
        finally:
            kernel.shield -= 1


def _put_in(app):
    global _inside, _path
    modules = sys.modules
    for name in list(modules):
        if name.split(".")[0] in app.names:
            _shadowed[name] = modules.pop(name)
    for name in app.modules:
        if isinstance(name, str) and name.split(".")[0] in app.names:
            modules[name] = app.modules[name]
    _path = sys.path[:]
    sys.path[:] = path(app)
    _inside = app


def _take_out(app):
    global _inside, _path
    modules = sys.modules
    for name in list(modules):
        if name.split(".")[0] in app.names:
            app.modules[name] = modules.pop(name)
    modules.update(_shadowed)
    _shadowed.clear()
    sys.path[:] = _path
    _inside = _path = None


def open_(*args, **options):
    app = kernel.current
    if app is None or app.data is None:
        return open(*args, **options)
    return real("kodkod.apps.files", True).open_file(*args, **options)


async def main(app, entry, args=(), script=False):
    """The main task of an app that is a module: its body, then its `main`, if it has one and is
    no script that starts itself."""
    app.loading = True
    result = None
    try:
        module = import_(entry)
    except Handover:
        module = None
    finally:
        app.loading = False
    if app.run:
        result, app.run = app.run, None
    elif not script and hasattr(module, "main"):
        result = module.main(*args)
    module = None
    if hasattr(result, "send") or type(result) is asyncio.Task:
        await result


_native_enqueue = asyncio.core.IOQueue._enqueue


_pollable = {}  # types


def enqueue(queue, stream, index):
    # What cannot be polled would stay in the poller half entered, and the next poll crash.
    kind = type(stream)
    if kind not in _pollable:
        select.poll().register(stream)
        if not isinstance(stream, io.IOBase):
            _pollable[kind] = True
    return _native_enqueue(queue, stream, index)


def current_task():
    # In a handler or hook what runs is the task of another app, which must not get hold of it.
    task = asyncio.core.cur_task
    if task is None or task.coro[1] is not (kernel.current or kernel.system):
        raise RuntimeError("no task of this app is running")
    return task


def hand_over(coro=None):
    """asyncio.run in an app: `coro` becomes its main, the module's body ends here. Without it
    the app lives by the tasks it has made."""
    app = kernel.current
    if app and app.console:
        return app.console.run(coro)
    if app is None or not app.loading:
        raise RuntimeError("asyncio.run inside a running app: await it instead")
    app.run = coro
    raise Handover
