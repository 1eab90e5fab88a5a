# What the scenarios share on the client's side; runs on a device and, over a link, on CPython.

import asyncio

from kodkod.services import ServiceClient, ServiceResourceProxy, ServiceSelector

UUID = "0f5e2c84-7f6b-4d1c-9a37-5e0c1c1ab001"
DIRECTOR = "0f5e2c84-7f6b-4d1c-9a37-5e0c1c1ab002"
SELECTOR = ServiceSelector(UUID, 1, 0)

scenarios = {}  # by module, in the order of their lines


def scenario(function):
    scenarios.setdefault(function.__globals__["__name__"], []).append(function)
    return function


def say(*values):
    """One line of what came of it; the runner collects them."""
    listener(" ".join([str(value) for value in values]))


listener = print


class Watcher(ServiceResourceProxy):
    """Keeps what it is told."""

    def __init__(self, client, handle):
        self.got = []
        super().__init__(client, handle)

    def on_notified(self, value):
        self.got.append(value)

    def on_closed(self, reason):
        self.got.append("closed: " + reason)


async def director(method, *arguments):
    """Calls the director, with a client for this one call: scenarios end in every way."""
    client = await ServiceClient(ServiceSelector(DIRECTOR, 1, 0)).open(timeout_ms=5000)
    try:
        return await client.invoke(method, arguments, timeout_ms=20000)
    finally:
        client.close()


async def start(name="lab", **options):
    """Starts a lab in an app of its own."""
    await director("start", name, options)


async def happened(*awaited):
    """Waits until all `awaited` happened in the lab; says nothing of it."""
    await director("events", "lab", awaited)


async def events(*awaited, name="lab", in_order=True):
    """Says what happened in the lab, at least until all `awaited` did. In which order a provider
    that goes closes its clients, and when a cancelled handler notices, is not promised."""
    happened = await director("events", name, awaited)
    say(f"{name}:", ", ".join(happened if in_order else sorted(happened)))


async def opened(**options):
    """An open client of a lab that was started for it."""
    await start(**options.pop("lab", {}))
    return await ServiceClient(SELECTOR, **options).open()


async def setting(**options):
    """(client, a watcher of one of its resources)"""
    client = await opened(**options)
    return client, Watcher(client, await client.invoke("hold"))


async def attempt(work):
    """What came of it: the value, or the error's name."""
    try:
        return show(await work)
    except asyncio.CancelledError:
        return "CancelledError"
    except Exception as error:
        return type(error).__name__


async def until(condition):
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.003)
    raise AssertionError("it did not become true")


def show(value):
    """The same text on every platform."""
    if isinstance(value, dict):
        entries = [f"{show(key)}: {show(value[key])}" for key in value]
        return "{" + ", ".join(sorted(entries)) + "}"
    if isinstance(value, list):
        return "[" + ", ".join([show(one) for one in value]) + "]"
    if isinstance(value, str) and max(value or " ") > "~":
        return "text " + repr(value.encode())
    if isinstance(value, ServiceClient):
        return "client"
    return repr(value)
