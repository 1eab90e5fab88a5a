# What an app sees instead of the modules that are not its own to change.

import asyncio

from kodkod.apps import loader


class _Asyncio:
    # An app's own view: what it sets stays here, the rest is the real module's.

    def __getattr__(self, name):
        return getattr(asyncio, name)

    def run(self, coro):
        return loader.hand_over(coro)


def module(app, name):
    """The object that `import name` gives to `app`, or None for the real module."""
    if name == "asyncio":
        if "asyncio" not in app.facades:
            app.facades["asyncio"] = _Asyncio()
        return app.facades["asyncio"]
    return app.facades.get(name)
