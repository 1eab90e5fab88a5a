# Callbacks of timers, pins and micropython.schedule: where they strike they only set a flag;
# the kernel then runs them as steps of their app. An exception fails the app.

import asyncio

from micropython import const

from kodkod.apps import loader

_SCHEDULED = const(8)  # of one app

_flag = asyncio.ThreadSafeFlag()
_sources = []  # what may strike
_scheduled = []  # (app, function, argument)
_served = None  # the kernel that runs them; None: nothing is to be run


class Callback:
    """A function that something calls at any time, for the app that runs now."""

    due = False

    def __init__(self, function, argument):
        self.app = loader.kernel.current
        self.function = function
        self.argument = argument
        _sources.append(self)
        _start()

    def strike(self, _=None):
        """What is given to timer or pin. Struck again before it ran, it runs once."""
        self.due = True
        _flag.set()

    def close(self):
        """It strikes no more."""
        self.due = False
        if self in _sources:
            _sources.remove(self)


def schedule(function, argument):
    """micropython.schedule as an app sees it."""
    app = loader.kernel.current
    if len([one for one in _scheduled if one[0] is app]) >= _SCHEDULED:
        raise RuntimeError("schedule queue full")
    _scheduled.append((app, function, argument))
    _start()
    _flag.set()


def _start():
    global _served
    kernel = loader.kernel
    if _served is not kernel:
        _served = kernel
        kernel.task(kernel.system, _run())


async def _run():
    global _served
    while _sources or _scheduled:
        while _scheduled:
            await _step(*_scheduled.pop(0))
        for source in list(_sources):
            if source.due:
                source.due = False
                await _step(source.app, source.function, source.argument)
        await _flag.wait()
    _served = None


async def _step(app, function, argument):
    kernel = loader.kernel
    while kernel.short:  # of memory, which it may take
        await asyncio.sleep_ms(5)
    if app.verdict is None:
        try:
            kernel.call(app, function, argument)
        except Exception as exc:
            if app.verdict is None:
                kernel.fail(app, exc)
        await asyncio.sleep_ms(0)
