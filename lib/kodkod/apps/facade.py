# What an app sees instead of a module that all share: what it sets there stays its own.
# Views are made at first import (imports.py), and kept in the app's record.

import sys

_Module = type(sys)


class View:
    """`module`, and what an app has set in its view of it."""

    def __init__(self, module):
        self._module = module

    def __getattr__(self, name):
        if name == "_task_queue":  # asyncio.core's, with the tasks of all in it
            raise AttributeError(name)
        value = getattr(self._module, name)
        if isinstance(value, _Module):  # asyncio.core
            value = View(value)
        elif not callable(value):  # it may change
            return value
        setattr(self, name, value)
        return value
