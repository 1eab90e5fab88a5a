# Runs every scenario and says what came of it: on a device as an app, on CPython by the tests.

import asyncio

import rig

try:
    from sys import print_exception
except ImportError:
    from traceback import print_exception

# Each registers its scenarios.

_SECONDS = 30  # for a scenario


async def run(only=None):
    """Each is one heading, its lines, and what it left behind."""
    for function in rig.scenarios:
        name = function.__name__.replace("_", " ")
        if only and only not in name:
            continue
        rig.say("==", name)
        try:
            await asyncio.wait_for(function(), _SECONDS)
        except Exception as error:
            rig.say("FAILED", type(error).__name__, error)
            print_exception(error)
        for one in await rig.director("tidy"):
            rig.say("LEFT", one)
