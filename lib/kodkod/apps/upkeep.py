# Once a second: keeps the accounts small, the watchdog fed and some memory free. When the reserve
# is touched, apps wait, and are stopped, the newest first, until the kernel has it back.

import asyncio
import gc

from micropython import const

from kodkod import port
from kodkod.apps import logs
from kodkod.signal import wake

PERIOD_MS = 1000
_RESERVE = const(4096)  # bytes: what a failing kernel needs to end an app and say so
_PIECE = const(1024)  # of it; where the heap has none as large, they are halved
_LEAST = const(256)
LOW = 8192  # bytes; with less than this free, the newest app is stopped
# Bytes that are free as well while no host is here, so that one can come in.
_LINK = const(9216)
_SERVICES = const(11264)  # which it needs, where no app has loaded them
_GRACE_MS = const(100)  # for its `finally` blocks: the others wait for it

_reserve = None
_feed = None  # the watchdog, once it was started


async def run(kernel):
    """The task of the system that does it, for ever."""
    _enough(kernel)
    while True:
        await asyncio.sleep_ms(0 if kernel.short else PERIOD_MS)
        port.uptime_ms()  # it must be looked at now and then
        if _feed:
            _feed()
        try:
            _account(kernel.apps)
            if kernel.short or gc.mem_free() < low(kernel) + LOW:
                await _relieve(kernel)
        except MemoryError:  # not even to say so: the next round goes on
            give_back(kernel)
            _drop_newest(kernel)
        if kernel.supervisor and not kernel.short and not has_host(kernel):
            try:
                kernel.supervisor.start_waiting()
            except MemoryError:  # it waits on
                pass


def has_host(kernel):
    """Whether one is here. Takes no memory: there may be none."""
    links = 0
    for app in kernel.apps:
        links += ":" in app.name
    return links > 0


def low(kernel):
    """Bytes of memory that are to be free."""
    if has_host(kernel):
        return LOW
    return LOW + _LINK if kernel.served else LOW + _LINK + _SERVICES


def watch(ms):
    """Have the hardware's watchdog restart the device when this loop stands still for `ms`."""
    global _feed
    _feed = port.watchdog(ms)


def _account(apps):
    for app in apps:
        if app.cpu_us > 1000000:
            app.cpu_s += app.cpu_us // 1000000
            app.cpu_us %= 1000000


def give_back(kernel):
    """There is no memory: the kernel gets its reserve, and until there is another no app that
    is not ending makes a step, lest it takes that, too."""
    global _reserve
    _reserve = None
    kernel.short = True
    wake(kernel.upkeep)


def is_app(kernel, app):
    """Whether it is no part of the device itself."""
    return app is not kernel.system and ":" not in app.name  # that is somebody's link


def _free():
    gc.collect()
    return gc.mem_free()


def _enough(kernel):
    # Whether the reserve is whole, and some memory free beside it.
    global _reserve
    if _reserve is None:
        pieces = []
        missing = _RESERVE
        size = _PIECE
        while missing > 0:
            try:
                pieces.append(bytearray(size))
                missing -= size
            except MemoryError:
                if size == _LEAST:
                    return False
                size //= 2
        _reserve = pieces
    return _free() >= low(kernel)


def _drop_newest(kernel):
    # There may be none left for the end of an app. This takes none, and what it lets go is some.
    apps = kernel.apps
    n = len(apps)
    while n > 1:
        n -= 1
        if apps[n].main is not None and is_app(kernel, apps[n]):
            kernel.drop(apps[n])
            return
    port.reset_now()  # nobody is left whom that would disturb


async def _relieve(kernel):
    while True:
        apps = [app for app in kernel.apps if is_app(kernel, app)]
        dropped = [app for app in apps if app.main is None]
        if (_enough(kernel) and not dropped) or not apps:
            break
        give_back(kernel)
        # First those that are ending: it may be enough.
        app = (dropped or [app for app in apps if app.verdict] or apps)[-1]
        before = _free()
        text = "stopped: {} B of memory were free".format(before)
        kernel.end(app, "memory", 1, None if app.verdict else text, _GRACE_MS)
        await app.wait()
        free = _free()
        # With some again, the line takes the place of no other.
        kernel.short = not _enough(kernel)
        text = "memory: '{}' gave back {} B, {} B are free"
        logs.write(kernel.system, logs.WARNING, text.format(app.name, free - before, free))
    kernel.short = False
