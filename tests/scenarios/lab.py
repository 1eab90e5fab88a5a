# The provider's side of the scenarios, on a device: a director that starts labs as apps of their
# own, and the lab, a service that does and suffers whatever it is told.

import asyncio
import sys

from kodkod import Resource, errors, service, spawn
from kodkod.services import ServiceProvider, ServiceResource, ServiceSelector, registry

UUID = "0f5e2c84-7f6b-4d1c-9a37-5e0c1c1ab001"
DIRECTOR = "0f5e2c84-7f6b-4d1c-9a37-5e0c1c1ab002"

seen = {}  # name of a lab -> what happened there
labs = {}  # name of a lab -> its app


class Held(ServiceResource):
    """Its `number` counts the resources of its lab."""

    def __init__(self, lab, client, notifiable=True, bad_hook=False):
        super().__init__(lab, client, notifiable)
        lab.count += 1
        self.number = lab.count
        self.lab = lab
        self.bad_hook = bad_hook

    def on_closed(self):
        self.lab.saw(f"resource {self.number} closed")
        if self.bad_hook == "exit":
            sys.exit(4)
        if self.bad_hook:
            raise ValueError("bad hook")


class Lab(ServiceProvider):
    def __init__(self, app, options):
        super().__init__(
            options.get("name", app),
            options.get("major", 1),
            options.get("minor", 0),
            options.get("patch", 0),
            options.get("tags"),
        )
        self.app = app
        self.count = 0
        self.installed = 0
        self.bad_hooks = options.get("bad_hooks")
        self.gids = []
        priority = options.get("priority", ServiceProvider.PRIORITY_NORMAL)
        for major, minor in options.get("provides", [[1, 0]]):
            self.provides(ServiceSelector(UUID, major, minor), self, priority=priority)

    def saw(self, what):
        seen[self.app].append(what)

    def on_opened(self, client):
        self.saw("client opened")
        self.meddle("opened")

    def on_closed(self, client):
        self.saw("client closed")
        self.meddle("closed")

    def meddle(self, hook):
        if self.bad_hooks == "exit when " + hook:
            sys.exit(4)
        if self.bad_hooks is True:
            raise ValueError("bad hook")

    def handle(self, index, arguments, gid, client):
        if index == 0:
            return arguments
        if index == 1:
            # Whether the app has called before.
            self.gids.append(gid)
            return gid in self.gids[:-1]
        method = getattr(self, f"do_{index}", None)
        if method is None:
            raise errors.UnknownMethod(f"no method {index}")
        return method(client, *(arguments or ()))

    # Results

    def do_echo(self, client, value=None):
        return value

    async def do_later(self, client, ms, value):
        await asyncio.sleep(ms / 1000)
        return value

    def do_client(self, client):
        return client

    async def do_sleep(self, client, ms):
        self.saw("sleep")
        try:
            await asyncio.sleep(ms / 1000)
        except asyncio.CancelledError:
            self.saw("sleep cancelled")
            raise
        return "slept"

    async def do_cancel_itself(self, client):
        task = asyncio.current_task()
        asyncio.create_task(self.cancel(task))
        await asyncio.sleep(10)

    async def cancel(self, task):
        task.cancel()

    def do_deep(self, client, levels):
        return nested(levels)

    def do_object(self, client):
        return {"inner": [1, Odd()]}

    def do_big(self, client, size):
        return "x" * size

    # Errors

    def do_fail(self, client, kind):
        own = {"ValueError": ValueError, "OSError": OSError}
        raise (own.get(kind) or getattr(errors, kind))("as told")

    async def do_fail_later(self, client, kind):
        await asyncio.sleep(0.001)
        self.do_fail(client, kind)

    # Resources

    def do_hold(self, client, notifiable=True, bad_hook=False):
        return Held(self, client, notifiable, bad_hook)

    def do_hold_inside(self, client, count):
        return {"held": [Held(self, client) for _ in range(count)]}

    def do_hold_and_notify(self, client, count):
        held = Held(self, client)
        for number in range(count):
            held.notify(number)
        return held

    def do_hold_notify_close(self, client, count):
        held = Held(self, client)
        for number in range(count):
            held.notify(number)
        held.close()
        return held.handle

    def do_hold_and_sleep(self, client, ms):
        Held(self, client)
        return self.do_sleep(client, ms)

    def do_number(self, client, handle):
        return self.resource(client, handle).number

    def do_shut(self, client, handle):
        self.resource(client, handle).close()

    def do_held(self, client):
        return [held.number for held in self.resources()]

    # Notifications

    def do_notify(self, client, handle, value, close=False):
        self.resource(client, handle).notify(value, close=close)

    def do_notify_big(self, client, handle, size):
        self.resource(client, handle).notify(b"x" * size)

    def do_notify_deep(self, client, handle, levels):
        self.resource(client, handle).notify(nested(levels))

    def do_notify_object(self, client, handle):
        self.resource(client, handle).notify([Odd()])

    def do_notify_closed(self, client, handle):
        held = self.resource(client, handle)
        held.close()
        held.notify(1)

    def do_burst(self, client, handle, first, count, close=False):
        """All in one step."""
        held = self.resource(client, handle)
        for number in range(first, first + count):
            held.notify(number)
        if close:
            held.close()
        return count

    def do_burst_and_one(self, client, handle, count, other):
        self.do_burst(client, handle, 0, count)
        self.resource(client, other).notify("one")

    async def do_paced(self, client, handle, count, ahead):
        """At most `ahead` that the client has not told of."""
        held = self.resource(client, handle)
        self.told = 0
        for number in range(count):
            while number - self.told >= ahead:
                await asyncio.sleep(0)
            held.notify(number)
        return count

    def do_told(self, client, count):
        self.told = count

    # Ends

    def do_leave(self, client):
        asyncio.create_task(self.leave())

    async def leave(self):
        self.uninstall()
        self.saw("uninstalled")

    def do_leave_now(self, client):
        self.uninstall()
        return "left"

    def do_come_back_after(self, client, ms):
        asyncio.create_task(self.come_back(ms))

    async def come_back(self, ms):
        self.uninstall()
        await asyncio.sleep(ms / 1000)
        self.install()

    def do_leave_when_idle(self, client):
        asyncio.create_task(self.leave_when_idle())

    async def leave_when_idle(self):
        await self.uninstall(wait=True)
        self.saw("uninstalled")

    def do_crash(self, client):
        asyncio.create_task(self.crash())

    async def crash(self):
        raise OSError("lab on fire")

    def do_crash_asleep(self, client):
        asyncio.create_task(self.crash())
        return self.do_sleep(client, 10000)

    def do_exit(self, client, code):
        sys.exit(code)

    async def do_exit_later(self, client, code):
        await asyncio.sleep(0.001)
        sys.exit(code)

    def do_memory(self, client):
        raise MemoryError

    def do_spin(self, client):
        while True:
            pass

    async def do_spin_later(self, client):
        await asyncio.sleep(0.001)
        while True:
            pass


class Odd:
    pass


def nested(levels):
    value = []
    for _ in range(levels - 1):
        value = [value]
    return value


async def provide(name, options):
    lab = Lab(name, options)
    lab.install()
    for another in options.get("others", []):
        Lab(name, another).install()
    seen[name].append("installed")


class Line(Resource):
    def say(self, text):
        for other in self.siblings():
            other.notify(text)
        return len(self.siblings())

    def end(self):
        self.close()

    def fail(self):
        raise errors.Busy("no")

    def on_closed(self):
        seen["short"].append("line closed")


class Lines:
    def line(self, client):
        return Line(self)

    async def line_later(self, client):
        await asyncio.sleep(0.001)
        return Line(self)

    def add(self, client, first, second):
        return first + second

    def same(self, client, *values):
        return list(values)

    def nothing(self, client):
        pass

    def _private(self, client):
        return "private"

    def crash(self, client):
        raise KeyError("as told")

    def leave(self, client):
        Lines.provider.uninstall()


async def provide_short():
    service("scenarios/lines", version=(1, 2))(Lines)
    seen["short"].append("installed")


class Director(ServiceProvider):
    def __init__(self):
        super().__init__("scenarios/director", 1, 0)
        self.provides(ServiceSelector(DIRECTOR, 1, 0), self)

    def handle(self, index, arguments, gid, client):
        return getattr(self, "do_" + index)(*arguments)

    async def do_start(self, name, options):
        """A lab in an app of its own; returns when it is installed."""
        seen[name] = []
        if name == "short":
            app = spawn(provide_short, name=name)
        else:
            app = spawn(provide, name, options, name=name)
        app.limit = options.get("limit", 2000)
        labs[name] = app
        while not seen[name]:
            await asyncio.sleep(0.001)
        seen[name].pop(0)

    async def do_stop(self, name):
        await labs[name].stop()

    async def do_end(self, name):
        """How the lab's app ended."""
        code = await labs[name].wait()
        return [labs[name].reason, code]

    async def do_events(self, name, awaited):
        """What happened in the lab, at least until all `awaited` did."""
        for _ in range(1500):
            if not [one for one in awaited if one not in seen[name]]:
                break
            await asyncio.sleep(0.002)
        events, seen[name] = seen[name], []
        return events

    async def do_tidy(self):
        """Waits for the clients' ends, then stops the labs; what is left that should not be."""
        rest = []
        for _ in range(1000):
            rest = [left(lab) for lab in registry.providers if isinstance(lab, ServiceProvider)]
            rest = [one for one in rest if one]
            if not rest:
                break
            await asyncio.sleep(0.002)
        for app in list(labs.values()):
            if app.is_running:
                await app.stop()
        labs.clear()
        seen.clear()
        names = [lab.name for lab in registry.providers if lab.name in seen]
        return rest + names


def left(lab):
    if lab.name.startswith("kodkod/") or lab.name.startswith("scenarios/director"):
        return None
    if lab.sessions_ or lab.running_ or lab.turns_:
        return f"{lab.name}: {len(lab.sessions_)} clients, {lab.running_} calls"


async def main():
    Director().install()
