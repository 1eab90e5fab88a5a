# Runs every scenario and says what came of it: on a device as an app, on CPython by the tests.

import asyncio

import calling
import crossing
import ending
import holding
import notifying
import opening
import rig
import short

try:
    from sys import print_exception
except ImportError:
    from traceback import print_exception

_MODULES = (opening, calling, crossing, holding, notifying, ending, short)
_SECONDS = 30  # for a scenario


async def run(only=""):
    """Each is one heading, its lines, and what it left behind."""
    for module in _MODULES:
        for function in rig.scenarios[module.__name__]:
            name = function.__name__.replace("_", " ")
            if only in name:
                rig.say("==", name)
                await _run(function)
                for one in await rig.director("tidy"):
                    rig.say("LEFT", one)


async def _run(function):
    try:
        await asyncio.wait_for(function(), _SECONDS)
    except Exception as error:
        rig.say("FAILED", type(error).__name__, error)
        print_exception(error)
