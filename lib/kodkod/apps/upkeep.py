# Once a second: keeps the accounts small, the watchdog fed and some memory free. When the reserve
# is touched, apps are stopped, the newest first, until the kernel has it back.

import asyncio
import gc

from micropython import const

from kodkod import port
from kodkod.apps import logs

PERIOD_MS = 1000
_RESERVE = const(4096)  # what a failing kernel needs to end an app and say so
LOW = 8192  # bytes; with less than this free, the newest app is stopped

_reserve = None
_feed = None  # the watchdog, once it was started


async def run(kernel):
    """The task of the system that does it, for ever."""
    global _reserve
    _reserve = bytearray(_RESERVE)
    while True:
        await asyncio.sleep_ms(PERIOD_MS)
        port.uptime_ms()  # it must be looked at now and then
        if _feed:
            _feed()
        _account(kernel.apps)
        try:
            if _reserve is None or gc.mem_free() < 2 * LOW:
                await _relieve(kernel)
        except MemoryError:  # not even to say so: the next round goes on
            give_back()


def watch(ms):
    """Have the hardware's watchdog restart the device when this loop stands still for `ms`."""
    global _feed
    _feed = port.watchdog(ms)


def _account(apps):
    for app in apps:
        if app.cpu_us > 1000000:
            app.cpu_s += app.cpu_us // 1000000
            app.cpu_us %= 1000000


def give_back():
    """There is no memory: the kernel gets its reserve."""
    global _reserve
    _reserve = None


def _free():
    gc.collect()
    return gc.mem_free()


async def _relieve(kernel):
    global _reserve
    before = _free()
    while before < LOW + (0 if _reserve else _RESERVE):
        give_back()
        apps = [app for app in kernel.apps if app is not kernel.system and ":" not in app.name]
        if not apps:
            break
        app = apps[-1]
        kernel.end(app, "memory", 1, "stopped: {} B of memory were free".format(before))
        await app.wait()
        free = _free()
        text = "memory: '{}' gave back {} B, {} B are free"
        logs.write(kernel.system, logs.WARNING, text.format(app.name, free - before, free))
        before = free
    if _reserve is None and before >= LOW + _RESERVE:
        _reserve = bytearray(_RESERVE)
