# Namespaces: each app's imports give its own modules, from its own folder.
# builtins.__import__ is replaced; sys.modules holds an app's modules only while it imports.

import asyncio
import builtins
import os
import sys

from kodkod.apps import facade

_native = builtins.__import__
kernel = None
_inside = None  # the app whose modules are in sys.modules
_shadowed = {}
_path = None


class Handover(BaseException):
    """Leaves a module's body when it hands its main coroutine over (asyncio.run, kodkod.run)."""


def install(scheduler):
    """Put the import hook in force."""
    global kernel
    # Before MicroPython 1.27 no relative import passes a hook, and asyncio's parts use them.
    for part in ("Event", "Lock", "gather", "StreamReader"):
        getattr(asyncio, part)
    kernel = scheduler
    builtins.__import__ = _import


def uninstall():
    builtins.__import__ = _native


def assign(app, folder):
    """`app` lives in `folder`: its top-level modules and packages are its own."""
    app.dir = folder
    app.names = {
        entry.split(".")[0]
        for entry in os.listdir(folder)
        if "." not in entry or entry.endswith(".mpy") or entry.endswith(".py")
    }


def _import(name, *args):
    app = kernel.current
    if app is None or app is kernel.system:
        return _native(name, *args)
    level = args[3] if len(args) > 3 else 0
    # The importer's globals are known from MicroPython 1.27 on.
    asked = args[0]["__name__"] if level and args[0] else name
    if asked.split(".")[0] in app.names:
        return _import_own(app, name, args)
    made = facade.module(app, name)
    if made is not None:
        return made
    kernel.current = None  # what the device's own modules import is not the app's view
    try:
        return _native(name, *args)
    finally:
        kernel.current = app


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
    modules.update(app.modules)
    _path = sys.path[:]
    sys.path.insert(0, app.dir)
    _inside = app


def _take_out(app):
    global _inside
    modules = sys.modules
    for name in list(modules):
        if name.split(".")[0] in app.names:
            app.modules[name] = modules.pop(name)
    modules.update(_shadowed)
    _shadowed.clear()
    sys.path[:] = _path
    _inside = None


async def main(app, entry, args=()):
    """The main task of an app that is a module: its body, then its `main`, if it has one."""
    app.loading = True
    result = None
    try:
        module = _import(entry)
    except Handover:
        module = None
    finally:
        app.loading = False
    if app.run:
        result, app.run = app.run, None
    elif hasattr(module, "main"):
        result = module.main(*args)
    module = None
    if hasattr(result, "send"):
        await result


def hand_over(coro):
    """asyncio.run in an app: `coro` becomes its main, the module's body ends here."""
    app = kernel.current
    if app and app.console:
        return app.console.run(coro)
    if app is None or not app.loading:
        raise RuntimeError("asyncio.run inside a running app: await it instead")
    app.run = coro
    raise Handover
