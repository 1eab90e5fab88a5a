# Namespaces: each app's imports give its own modules, from its own folder.
# builtins.__import__ is replaced. What an app has imported before it gets from here; imports.py,
# loaded for it, does the rest.

import asyncio
import builtins
import io
import select
import sys
from time import ticks_add, ticks_diff, ticks_us

from kodkod.borrow import borrow

native = builtins.__import__
open = builtins.open
kernel = None
replaced = []  # (object, name, what it was) of the hooks that are in force
inside = None  # the app whose modules are in sys.modules: while it imports
shadowed = {}  # what its own modules hide there meanwhile
outside = None  # sys.path, while an app has its own there
_maker = None  # imports.py, while something is imported
# Classes of asyncio of which each app gets its own. Not exceptions and Task, which others raise
# and make, nor Stream, for what it adds to that is to be there in what open_connection makes.
_OWN = ("Event", "Lock", "ThreadSafeFlag", "IOQueue", "SingletonGenerator")


class Handover(BaseException):
    """Leaves a module's body when it hands its main coroutine over (asyncio.run, kodkod.run)."""


class View:
    """What an app sees as `module`, which all share: what it sets there stays its own."""

    def __init__(self, module):
        self._module = module

    def __getattr__(self, name):
        if name == "_task_queue":  # asyncio.core's, with the tasks of all in it
            raise AttributeError(name)
        value = getattr(self._module, name)
        if isinstance(value, type(sys)):  # asyncio.core
            value = View(value)
        elif name in _OWN:
            value = type(name, (value,), {})
        elif not callable(value):  # it may change
            return value
        setattr(self, name, value)
        return value


def path(app):
    """Where `app` finds modules."""
    if app.path is None:
        app.path = [app.dir] + [place for place in outside or sys.path if place]
    return app.path


def meanwhile(function, *args):
    """Call what is no app's for whoever runs, and not its time: the device's own code, which it
    makes load, and what a person imports at the prompt."""
    app = kernel.current
    if app is None:
        return function(*args)
    start = ticks_us()
    kernel.current = None
    try:
        return function(*args)
    finally:
        kernel.current = app
        kernel.began = ticks_add(kernel.began, ticks_diff(ticks_us(), start))


def real(name, leaf=False):
    """The module that all share, or that of the device's own code, whoever runs."""
    return meanwhile(native, name, None, None, (name,) if leaf else None)


def import_(name, *args):
    global _maker
    app = kernel.current
    scope, _, wanted, level = (
        args if len(args) == 4 else (args + (None, None, None, 0)[len(args) :])
    )
    is_relative = level and not scope  # before MicroPython 1.27 nobody says which module asks
    if is_relative and (app is None or (wanted is True and name in asyncio._attrs.values())):
        # It is asyncio: a part of it is used for the first time.
        return real("asyncio." + name if name else "asyncio", True)
    if app is None:
        return native(name, *args)
    top = name.split(".")[0]
    if scope:
        importer = scope.get("__name__", "")
        if importer[:7] == "kodkod." or importer.split(".")[0] == "asyncio":
            return _import_shared(app, name, args)
        if level:
            top = importer.split(".")[0]
    is_own = not is_relative and top in app.names
    if is_own:
        found = app.modules.get(name)
        if found and not level and (wanted or name == top):
            return found
    elif not is_relative:
        found = app.facades.get(top)
        if found is None:
            if not app.dir or top == "kodkod":
                return _import_shared(app, name, args)
        elif not wanted or (name == top and wanted != ("*",)):
            return found
    maker = _maker  # one for all that is imported meanwhile
    try:
        if not maker:
            _maker = meanwhile(borrow, "kodkod.apps.imports")
        if is_own:
            return _maker.own(app, name, args)
        if is_relative:
            return _maker.relative(name, wanted)
        return _maker.other(app, name, top, wanted, args)
    finally:
        _maker = maker


def _import_shared(app, name, args):
    if name[:16] == "kodkod.services." and app is not kernel.system and ":" not in app.name:
        kernel.served = True  # by an app, not by somebody's link
    return meanwhile(native, name, *args)


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
