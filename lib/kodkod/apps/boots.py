# What a boot wants to know of those before it: whether they lasted, and which app was the trouble.
# A device forgets this module once it has booted.

import asyncio

from micropython import const

from kodkod.apps import trouble

_LASTED_MS = const(30000)


def count():
    """Count this boot; how many there were in a row, this one too, that did not last."""
    number = min(trouble.read()[0] + 1, 255)
    trouble.write(0, number)
    return number


def lasted():
    """The device has been up for long enough: the count begins again."""
    trouble.write(0, 0)


async def wait():
    """Wait until the device has been up for long enough."""
    await asyncio.sleep_ms(_LASTED_MS)
    lasted()


def starting(name=""):
    """Write down which app is being started; "" when all are."""
    trouble.write(2, name)


def was_starting():
    """The app that was being started when the device went down, or ""."""
    return trouble.read()[2]


def culprit():
    """The app that nothing could stop before the reset, or ""."""
    return trouble.read()[1]
