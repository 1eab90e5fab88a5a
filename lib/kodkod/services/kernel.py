# What services needs of whoever runs the apps; the scheduler puts itself into `kernel`.
# Until then plain.py serves a program of one app; it says what each method has to do.
# Apps derive from the classes of services: what these keep for themselves ends in _, as no
# name of an app does.

import sys

_self = sys.modules[__name__]


def __getattr__(name):
    if name != "kernel":
        raise AttributeError(name)
    from kodkod.services.plain import Kernel

    global kernel
    kernel = Kernel()
    return kernel


def nothing(self, value=None):
    """What a hook does unless an app has its own."""


def handle(self):
    """As what a resource or its proxy crosses."""
    return self.handle


def shielded(function, *args):
    """Runs `function`, which changes state of several apps, without a guard's interrupt."""
    k = _self.kernel
    k.shield += 1
    try:  # first a jump: one that was sent before comes here, and not halfway
        return function(*args) if k else None
    finally:
        k.shield -= 1


def surely(function, *args):
    """As `shielded`, but runs it in any case: nobody else would. It calls no app."""
    k = _self.kernel
    k.shield += 1
    try:
        if k:  # a jump
            pass
    finally:
        try:
            function(*args)
        finally:
            k.shield -= 1


def finish(function):
    """Runs `function`, which closes something. Where the stack is nearly full it does so soon, in
    a task: what it did not come to would stay open."""
    try:
        _make_room(20)
    except RuntimeError:
        kernel.task(kernel.current, _later(function), True)
    else:
        function()


def _make_room(frames):
    if frames:
        _make_room(frames - 1)


async def _later(function):
    function()


def hook(owner, function, *args):
    """Runs an app's hook as that app, interruptible. A failure is a line in its log."""
    k = kernel
    shield = k.shield
    current = k.current
    # Called by nobody: also when it is its own app's step that closes something, a hook that
    # ends the app does not keep the rest from closing.
    k.current = None
    k.shield = 0
    try:
        result = k.call(owner, function, *args)
        if result is not None and hasattr(result, "__next__"):
            k.task(owner, _finish(owner, result), True)
    except Exception as e:
        k.log_exception(owner, e, "hook")
    finally:
        k.shield = shield
        k.current = current


async def _finish(owner, work):
    try:
        await work
    except MemoryError:
        raise  # it ends the app, as in a plain hook
    except Exception as e:
        kernel.log_exception(owner, e, "hook")
