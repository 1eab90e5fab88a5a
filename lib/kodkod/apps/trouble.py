# What must outlive a reset: boots in a row that did not last, the app that was being started,
# the app that could not be stopped. Kept in RTC memory (a file where there is none).

import asyncio

from micropython import const

from kodkod import port

_MAGIC = b"K1"
_LASTED_MS = const(30000)


def _read():
    # [boots, culprit, starting]; memory that a power cut has filled with anything is empty.
    data = bytes(port.read_memory())
    parts = data[3:].split(b"\0")
    if data[:2] != _MAGIC or len(parts) < 3:
        return [0, "", ""]
    return [data[2], str(parts[0], "utf-8"), str(parts[1], "utf-8")]


def _write(field, value):
    state = _read()
    if state[field] != value:
        state[field] = value
        names = (state[1] + "\0" + state[2] + "\0").encode()
        port.write_memory(_MAGIC + bytes((state[0],)) + names)


def boots():
    """Count this boot; how many there were in a row, this one too, that did not last."""
    count = min(_read()[0] + 1, 255)
    _write(0, count)
    return count


def lasted():
    """The device has been up for long enough: the count begins again."""
    _write(0, 0)


async def wait():
    """Wait until the device has been up for long enough."""
    await asyncio.sleep_ms(_LASTED_MS)
    lasted()


def starting(name=""):
    """Write down which app is being started; "" when all are."""
    _write(2, name)


def was_starting():
    """The app that was being started when the device went down, or ""."""
    return _read()[2]


def note(name):
    """Write down the app that nothing could stop; "" once it is quarantined."""
    try:
        _write(1, name)
    except MemoryError:  # the reset that follows matters more
        pass


def culprit():
    """The app that nothing could stop before the reset, or ""."""
    return _read()[1]
