# Uptime without a wrap: ticks_ms starts again every 12 days (2**30 ms).

from time import ticks_diff, ticks_ms

_last = ticks_ms()
_uptime = 0


def uptime_ms():
    """Milliseconds since this module was loaded. To be called at least once in 6 days."""
    global _last, _uptime
    now = ticks_ms()
    _uptime += ticks_diff(now, _last)
    _last = now
    return _uptime
