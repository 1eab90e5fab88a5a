# Random interleavings of everything that services can suffer: five providers, twenty clients,
# each an app that rolls its own dice. Arguments: the first seed, and how many. A seed gives the
# same interleaving again but for the few waits by the clock (time limits, runaways). Further
# arguments: with `meddling` hooks now and then end something else, or their own app; with `struck`
# the guard interrupts apps after any number of jumps, as it does those that a busy machine keeps
# from going on; with `hurried` no app that ends has time for its `finally` blocks.
# Prints "seed N: ..." for each that leaves anything behind or gives a client what it should not
# get, and at the end the bytes of heap in use when half (or sixty) are through and after the last.

import asyncio
import gc
import sys
from asyncio import core

import kodkod
import micropython
from kodkod import errors, port, spawn
from kodkod.apps import ending, loader
from kodkod.services import (
    ServiceClient,
    ServiceProvider,
    ServiceResource,
    ServiceResourceProxy,
    ServiceSelector,
    proxy,
    registry,
)

PROVIDERS = 5
CLIENTS = 20
SERVICES = [ServiceSelector("interleaved-%d" % n, 1, 0) for n in range(3)]
LIMIT_MS = 25  # where something runs away
LONG_MS = 20_000
STRIKES = 1000  # jumps, at most, from one to the next
OPTIONS = sys.argv[3:]
OVERFLOWS = ("drop_oldest", "drop_oldest", "drop_newest", "close")


class State:
    """What is remembered of one seed."""

    def __init__(self):
        self.problems = []
        self.providers = []
        self.clients = []
        self.proxies = []
        self.resources = []
        self.calls = self.notes = self.opens = self.ends = 0
        self.hooks = None  # the dice of hooks that meddle


state = None


class Dice:
    def __init__(self, seed):
        self.state = seed * 7919 + 17

    def roll(self, sides):
        self.state = (self.state * 1103515245 + 12345) & 0x7FFFFFFF
        return (self.state >> 9) % sides


class Striker:
    """Interrupts whichever app runs, and may be interrupted, after a random number of jumps. A
    scheduled function that schedules itself again runs at each."""

    def __init__(self, seed):
        self.dice = Dice(seed)
        self.left = self.dice.roll(STRIKES)
        self.on = True
        self.again = self.look
        self.look(None)

    def look(self, _):
        if not self.on:
            return
        micropython.schedule(self.again, None)
        kernel = loader.kernel
        app = kernel and kernel.current
        if not app or app.limit != LONG_MS or app.verdict or kernel.shield or kernel.guard.fired:
            return
        self.left -= 1
        if self.left < 0:
            self.left = self.dice.roll(STRIKES)
            if kernel.guard.fire():
                port.interrupt()  # no jump may follow: it would be raised in here


def meddle(*ways):
    """What a hook does besides: mostly nothing."""
    kind = state.hooks.roll(40) if state.hooks else 40
    if kind < len(ways):
        ways[kind]()
    elif kind == 38:
        raise ValueError("hook")
    elif kind == 39 and state.hooks.roll(4) == 0:
        raise SystemExit(5)


class Resource(ServiceResource):
    def __init__(self, provider, client):
        self.provider = provider
        super().__init__(provider, client, notifiable=True)
        self.sent = self.ends = 0
        state.resources.append(self)

    def say(self):
        self.sent += 1
        self.notify(self.sent)

    def on_closed(self):
        self.ends += 1
        provider = self.provider
        meddle(provider.uninstall, provider.close_all, provider.tell_all)


class Provider(ServiceProvider):
    def __init__(self, n, dice):
        super().__init__("provider-%d" % n, 1, 0)
        self.n = n
        self.dice = dice
        self.open = set()
        for selector in SERVICES:
            if dice.roll(2):
                # Ambiguity is one of the things that happen.
                self.provides(selector, self, priority=0x80 + dice.roll(3))
        state.providers.append(self)

    def on_opened(self, client):
        state.opens += 1
        if client in self.open:
            state.problems.append("client opened twice")
        self.open.add(client)
        meddle(self.uninstall, self.close_all, self.tell_all)
        if not self.dice.roll(8):
            raise ValueError("hook")

    def on_closed(self, client):
        if client not in self.open:
            state.problems.append("client closed that was not open")
        self.open.discard(client)
        meddle(self.uninstall, self.close_all, self.tell_all)

    def close_all(self):
        for resource in self.resources():
            resource.close()

    def tell_all(self):
        for resource in self.resources():
            if not resource.is_closed:
                resource.say()

    def handle(self, index, arguments, gid, client):
        dice = self.dice
        if index == 0:
            return arguments
        if index == 1:
            return self.later(arguments)
        if index == 2:
            raise ValueError("as told")
        if index == 3:
            return Resource(self, client)
        if index == 4:
            handle, count = arguments
            for _ in range(count):
                self.resource(client, handle).say()
            return count
        if index == 5:
            return self.sleep()
        if index == 6:
            return [1, {"odd": object()}]
        if index == 7:
            self.resource(client, arguments).close()
        if index == 8:
            self.tell_all()
        if index == 9:
            # What ends the provider, now and then.
            kind = dice.roll(60)
            if kind == 0:
                raise SystemExit(3)
            if kind == 1:
                raise MemoryError
            if kind == 2 and state.runaways:
                state.runaways -= 1
                while True:
                    pass
            if kind < 9:
                self.uninstall()
            if kind == 9:
                asyncio.current_task().cancel() if dice.roll(2) else None

    async def sleep(self):
        await asyncio.sleep(10)

    async def later(self, value):
        for _ in range(self.dice.roll(6)):
            await asyncio.sleep(0)
        if not self.dice.roll(10):
            raise errors.Busy("as told")
        return value


async def provide(n, seed):
    dice = Dice(seed)
    provider = Provider(n, dice)
    for _ in range(4):
        await rest(dice, 20)
        provider.install()
        for _ in range(dice.roll(30)):
            await rest(dice, 6)
            for resource in provider.resources():
                if dice.roll(3) == 0 and not resource.is_closed:
                    resource.say()
                if dice.roll(40) == 0:
                    resource.close()
            kind = dice.roll(250)
            if kind == 0:
                raise OSError("provider on fire")
            if kind == 1:
                sys.exit(dice.roll(3))
            if kind == 2 and state.runaways:
                state.runaways -= 1
                while True:
                    pass
            if kind < 8:
                break
        if dice.roll(4):
            provider.uninstall()
        else:
            asyncio.create_task(waits(provider))
            await rest(dice, 40)
            provider.uninstall()


async def waits(provider):
    await provider.uninstall(wait=True)


async def rest(dice, most):
    for _ in range(dice.roll(most)):
        await asyncio.sleep(0)


class Proxy(ServiceResourceProxy):
    def __init__(self, client, handle, slow):
        self.last = self.ends = self.inside = 0
        self.slow = slow
        state.proxies.append(self)
        super().__init__(client, handle)

    def on_notified(self, value):
        state.notes += 1
        if value <= self.last:
            state.problems.append("notification %d after %d" % (value, self.last))
        if self.ends:
            state.problems.append("notification after the end")
        self.last = value
        if self.slow:
            return self.body()
        if value % 37 == 0:
            raise ValueError("body")

    async def body(self):
        self.inside += 1
        if self.inside > 1:
            state.problems.append("bodies overlap")
        for _ in range(self.slow):
            await asyncio.sleep(0)
        self.inside -= 1

    def on_closed(self, reason):
        state.ends += 1
        self.ends += 1
        if self.ends > 1:
            state.problems.append("closed twice")
        meddle(self.client_.close_all, self.client_.close)


class Client(ServiceClient):
    def __init__(self, dice):
        reconnect = dice.roll(5) == 0
        overflow = OVERFLOWS[dice.roll(4)]
        super().__init__(SERVICES[dice.roll(3)], 1 + dice.roll(64), overflow, reconnect=reconnect)
        self.held = []
        self.made = []
        state.clients.append(self)

    def close_all(self):
        for one in self.made:
            one.close()

    def on_reconnected(self):
        self.held = [one for one in self.held if not one.is_closed]


async def use(n, seed):
    """A client's app."""
    dice = Dice(seed)
    clients = [Client(dice)]
    if state.hooks:
        clients.append(Client(dice))
    tasks = []
    for k in range(1 + dice.roll(3)):
        tasks.append(asyncio.create_task(work(clients[-1 if k else 0], Dice(seed + k), 12)))
    await rest(dice, 60)
    end = dice.roll(12)
    if end == 0:
        raise ValueError("client on fire")
    if end == 1:
        sys.exit(2)
    if end == 2 and state.runaways:
        state.runaways -= 1
        while True:
            pass
    if end == 3:
        tasks[0].cancel()
    for task in tasks:
        try:
            await task
        except asyncio.CancelledError:
            pass
    if dice.roll(3):
        for client in clients:
            await finish(client)


async def finish(client):
    """Closes it; every proxy must have been told then."""
    client.close()
    for _ in range(3000):
        if not client.queue_ and (client.idle_ or not client.task_):
            break
        await asyncio.sleep(0)
    over = loader.kernel.current.verdict  # a hook has ended this very app
    for one in client.made:
        if one.ends != 1 and not over:
            state.problems.append("a proxy was told of %d ends" % one.ends)


async def work(client, dice, steps):
    for _ in range(steps):
        await rest(dice, 5)
        try:
            await step(client, dice)
        except errors.RemoteError as error:
            if error.type not in ("ValueError", "CancelledError", "RuntimeError"):
                state.problems.append("RemoteError of %s: %s" % (error.type, error))
        except errors.KodkodError as error:
            if type(error) is errors.KodkodError:
                state.problems.append("bare KodkodError: %s" % error)


async def step(client, dice):
    kind = dice.roll(16)
    if client.id is None:
        if kind < 12:
            await client.open(timeout_ms=(None, 5, 20)[dice.roll(3)])
        elif kind == 12:
            opening = asyncio.create_task(attempt(client.open(timeout_ms=20)))
            await rest(dice, 5)
            opening.cancel()
        elif kind == 13:
            client.close()
        return
    held = client.held
    one = held[dice.roll(len(held))] if held else None
    state.calls += 1
    if kind < 3:
        value = [dice.roll(100), "x" * dice.roll(20)]
        if await client.invoke(kind % 2, value) != value:
            state.problems.append("not what was sent")
    elif kind == 3:
        await client.invoke(dice.roll(2) * 4 + 2)
    elif kind < 7:
        handle = await client.invoke(3)
        await rest(dice, 4)
        one = Proxy(client, handle, dice.roll(4))
        client.made.append(one)
        held.append(one)
    elif kind == 7 and one:
        await client.invoke(4, [one, dice.roll(90)])
    elif kind == 8 and one:
        await client.invoke(7, one)
    elif kind == 9 and one:
        held.remove(one)
        one.close()
    elif kind == 10:
        await client.invoke(8)
    elif kind == 11:
        await client.invoke(5, timeout_ms=1 + dice.roll(3))
    elif kind == 12:
        call = asyncio.create_task(attempt(client.invoke(5)))
        await rest(dice, 4)
        call.cancel()
    elif kind == 13:
        await client.invoke(9)
    elif kind == 14:
        many = [asyncio.create_task(attempt(client.invoke(1, k))) for k in range(dice.roll(20))]
        for call in many:
            await call
    elif dice.roll(3) == 0:
        client.close()


async def attempt(work):
    try:
        await work
    except errors.KodkodError:
        pass


async def main(seed):
    dice = Dice(seed)
    apps = [spawn(provide, n, seed * 1000 + n, name="p%d" % n) for n in range(PROVIDERS)]
    apps += [spawn(use, n, seed * 1000 + 100 + n * 10, name="c%d" % n) for n in range(CLIENTS)]
    for app in apps:
        app.limit = LIMIT_MS if state.runaways else LONG_MS
    for app in apps:
        if dice.roll(20) == 0:
            await rest(dice, 200)
            await app.stop()
    for app in apps:
        await app.wait()
    for _ in range(20):
        await asyncio.sleep(0)
    for signal in (registry.changed, proxy._delivered):
        for _ in list(signal._tasks):  # who comes later finds those that were forced to leave
            await signal.wait(0)
    left(apps)


def left(apps):
    """Everything that must be empty once all apps have ended."""
    kernel = loader.kernel
    check("apps", [app.name for app in kernel.apps if app.name not in ("kodkod", "main")])
    check("providers", registry.providers)
    check("waiting opens", registry.changed._tasks)
    check("waiting answers", proxy._delivered._tasks)
    for app in apps:
        check("tasks of " + app.name, list(app.tasks) + list(app.background) + app.owned)
    for one in state.providers:
        check("sessions", list(one.sessions_.values()))
        check("running calls", one.running_)
        check("waiting calls", one.turns_)
        check("waiting uninstalls", one.idle_._tasks)
        if not state.hooks:  # an app that ends in its own hook is not told the rest
            check("open for the provider's hooks", one.open)
    for one in state.clients:
        check("session of a client", one.session_)
        check("inboxes of a client", one.inboxes_)
        # A delivery that had not begun goes with its app, and the client with it.
        if not one.task_:
            check("queue of a client", one.queue_)
    for one in state.resources:
        check("resource that is open", not one.is_closed)
        if one.ends != 1:
            # Its app may have ended in the middle of its own hooks.
            check("resource with %d ends" % one.ends, one.ends > 1)
    queued = []
    while core._task_queue.peek():
        queued.append(core._task_queue.pop())
    check("tasks beside the system's upkeep", queued[1:])
    check("task of an ended app", queued[0].coro[1] is not kernel.system)
    kernel.ending = 0


def check(what, rest):
    if rest:
        state.problems.append("%s: %s" % (what, rest))


def silence():
    # What the apps raise is logged, and expected.
    from kodkod.apps import begin, logs

    begin._show = lambda line: None
    return logs


def run(seed):
    global state
    state = State()
    state.runaways = 1 if seed % 10 == 0 else 0
    if "meddling" in OPTIONS:
        state.hooks = Dice(seed)
    striker = Striker(seed) if "struck" in OPTIONS else None
    code = kodkod.run(main, seed)
    if striker:
        striker.on = False
    if code:
        state.problems.append("kernel ended with %d" % code)
    for problem in state.problems[:6]:
        print("seed %d: %s" % (seed, problem))
    result = [seed, state.opens, state.calls, state.notes, state.ends]
    for kept in (state.providers, state.clients, state.proxies, state.resources):
        kept.clear()
    state = None
    return result


async def nothing():
    for _ in range(10):
        await asyncio.sleep(0)


def heap():
    """Bytes in use, at least: the collector takes what lies about on the stacks for pointers, and
    what one of them points to keeps the apps of whole seeds until it is written over."""
    least = 1 << 30
    for _ in range(40):
        kodkod.run(nothing)
        gc.collect()
        least = min(least, gc.mem_alloc())
    return least


silence()
if "hurried" in OPTIONS:
    ending._FORCE_MS = 0
first, count = int(sys.argv[1]), int(sys.argv[2])
totals = [0, 0, 0, 0]
base = 0
for seed in range(first, first + count):
    for n, value in enumerate(run(seed)[1:]):
        totals[n] += value
    if seed == first + min(count // 2, 60):
        base = heap()
print("opens %d calls %d notifications %d ends %d" % tuple(totals))
print("heap %d %d" % (base, heap()))
