# The guard's interrupt at every point where one can strike, one after the other: whatever it
# cuts short, the registries are whole and the others go on. An interrupt strikes at jumps of the
# bytecode only, and a scheduled function that schedules itself again runs at each of them.
# heap: 4m
# timeout: 100

import asyncio

import kodkod
import micropython
from kernel_lab import from_files, kernel_test, log, settle, started, whole
from kodkod import port
from kodkod.apps import logs
from kodkod.services import (
    ServiceClient,
    ServiceProvider,
    ServiceResource,
    ServiceResourceProxy,
    ServiceSelector,
)

SELECTOR = ServiceSelector("sweep", 1, 0)


class Strike:
    """An interrupt for `name` at the n-th jump after `start()`, or the first after that at which
    the guard may: not in the kernel's own state, nor in another app."""

    def __init__(self, kernel, name, n):
        self.kernel = kernel
        self.name = name
        self.left = n
        self.on = self.struck = False
        self.again = self.tick

    def start(self):
        self.on = True
        micropython.schedule(self.again, None)

    def stop(self):
        self.on = False

    def tick(self, _):
        kernel = self.kernel
        guard = kernel.guard
        self.left -= 1
        app = kernel.current
        if not self.on:
            return
        if self.left <= 0 and app and app.name == self.name and not kernel.shield:
            if not guard.fired:
                self.on = False
                self.struck = True
                guard.fire()
                port.interrupt()
                return
        micropython.schedule(self.again, None)


class Starve(Strike):
    """From the n-th jump to the next, no memory can be had."""

    def tick(self, _):
        kernel = self.kernel
        self.left -= 1
        app = kernel.current
        if self.struck:
            micropython.heap_unlock()
            return
        if not self.on:
            return
        if self.left <= 0 and app and app.name == self.name:
            self.on = False
            self.struck = True
            micropython.heap_lock()
        micropython.schedule(self.again, None)


def full(holes, width):
    """What fills the heap but for so many holes of so many words."""
    spare = kept = None
    for _ in range(holes):
        spare = (spare,) + (None,) * (width - 1)
        kept = (kept,)
    for size in (1 << 20, 1 << 17, 1 << 14, 1 << 11, 1):
        try:
            while True:
                kept = (kept, bytearray(size)) if size > 1 else (kept,)
        except MemoryError:
            pass
    return kept


class Provider(ServiceProvider):
    def __init__(self, selector=SELECTOR):
        super().__init__("sweep", 1, 0)
        self.provides(selector, self)
        self.strike = None
        self.last = None

    def handle(self, index, arguments, gid, client):
        if index == 0:
            return arguments
        if index == 1:
            self.last = Resource(self, client)
            return self.last
        if index == 2:
            for resource in self.resources():
                resource.notify(arguments)
            return None
        if index == 3:
            return self.later(arguments)
        if index == 4:
            return self.struck(arguments)

    async def later(self, value):
        await asyncio.sleep_ms(0)
        return value

    def struck(self, value):
        self.strike.start()
        for resource in self.resources():
            resource.notify(value)
        self.strike.stop()
        return [value, {"a": "list"}]


class Resource(ServiceResource):
    def __init__(self, provider, client):
        super().__init__(provider, client, notifiable=True)

    def on_closed(self):
        if self.provider_strike:
            self.provider_strike.start()

    provider_strike = None


class Proxy(ServiceResourceProxy):
    def __init__(self, client, handle):
        self.got = []
        super().__init__(client, handle)

    def on_notified(self, value):
        self.got.append(value)


class Peers:
    """A provider and a user of it, who must not notice anything."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.provider = Provider()
        self.rounds = 0

    async def provide(self):
        self.provider.install()

    async def use(self):
        client = await ServiceClient(SELECTOR).open()
        proxy = Proxy(client, await client.invoke(1))
        await client.invoke(2, "before")
        assert proxy.got[-1] == "before", proxy.got
        assert await client.invoke(3, [1, 2]) == [1, 2]
        proxy.close()
        client.close()
        self.rounds += 1

    async def start(self):
        self.home = started(self.kernel, self.provide, name="peer")
        await settle()

    async def check(self):
        assert self.home.is_running, log("peer")
        before = self.rounds
        user = started(self.kernel, self.use, name="user")
        assert await user.wait() == 0, log("user")
        assert self.rounds == before + 1
        whole(self.kernel, apps=[self.home])


async def sweep(kernel, operation, victim="victim", prepare=None):
    """Run `await operation(strike, peers, prepared)` as the app `victim`, struck at the first
    jump, at the second, and so on until it gets through."""
    await sweep_with(Strike, "runaway", kernel, operation, victim, prepare)
    await sweep_with(Starve, "memory", kernel, operation, victim, prepare)


async def sweep_with(kind, reason, kernel, operation, victim, prepare):
    peers = Peers(kernel)
    await peers.start()
    n = 0
    ended = []
    while True:
        n += 1
        strike = kind(kernel, victim, n)

        async def main():
            prepared = await prepare(peers) if prepare else None
            await operation(strike, peers, prepared)

        app = started(kernel, main, name="victim")
        app.limit = 0
        await app.wait()
        strike.stop()
        while kernel.apps[-1] not in (peers.home, kernel.system):
            await kernel.apps[-1].wait()  # it waits for memory, or for the victim
        await settle(2)
        if app.reason not in ended:
            ended.append(app.reason)
        if kind is Starve and peers.home.reason == "memory":
            # What could not be had was the peer's own, and its end is the victim's next error.
            whole(kernel)
            peers = Peers(kernel)
            await peers.start()
            continue
        assert app.reason in (reason, "ended", "stopped"), (n, app.reason, log("victim"))
        whole(kernel, apps=[peers.home])
        if n % 10 == 0 or not strike.struck:
            await peers.check()
        if not strike.struck:
            break
        assert n < 5000
    if reason not in ended and kind is Strike:
        raise AssertionError("no interrupt ever came through")
    await peers.home.stop()
    logs.native(n, "jumps", ended)


async def opened(peers):
    return await ServiceClient(SELECTOR).open()


async def with_proxy(peers):
    client = await opened(peers)
    return client, Proxy(client, await client.invoke(1))


@kernel_test
async def test_spawn(kernel):
    async def child():
        await asyncio.sleep_ms(0)

    async def operation(strike, peers, _):
        strike.start()
        app = kodkod.spawn(child, name="child")
        strike.stop()
        await app.wait()

    await sweep(kernel, operation)


@kernel_test
async def test_stop(kernel):
    async def child():
        await asyncio.sleep_ms(1000)

    async def operation(strike, peers, _):
        app = kodkod.spawn(child, name="child")
        await asyncio.sleep_ms(0)
        strike.start()
        try:
            await app.stop()
        finally:
            strike.stop()
            await app.stop()

    await sweep(kernel, operation)


class Thing:
    """What an app owns, and how often it was closed."""

    def __init__(self):
        self.closed = 0

    def close(self):
        self.closed += 1


async def ends_once(kernel, decide, extra=0):
    """Have `decide(app)` end an app, which must be told once and have all it owns closed once."""

    async def child():
        await asyncio.sleep_ms(1000)

    app = started(kernel, child, name="child")
    for n in range(extra):
        setattr(app, "x{}".format(n), None)
    told = []
    app.on_end = told.append
    things = [app.own(Thing()) for _ in range(3)]
    await settle()
    decider = started(kernel, decide, app, name="victim")
    await decider.wait()
    await app.wait()
    await settle()
    assert decider.reason == "ended", log("victim")
    assert told == [app], len(told)
    assert [thing.closed for thing in things] == [1, 1, 1], [thing.closed for thing in things]


@kernel_test
async def test_an_end_is_decided_once_whatever_memory_there_is(kernel):
    def decide(app):
        kept = full(holes, width)
        try:
            kernel.end(app, "stopped", 0)
        except MemoryError:
            kept = None
            kernel.end(app, "stopped", 0)
        del kept

    for extra in range(2, 5):  # of these records one is so full that it must grow
        for width in (16, 20):
            for holes in range(1, 12, 3):
                await ends_once(kernel, decide, extra)
                whole(kernel)


@kernel_test
async def test_an_end_is_carried_out_to_its_last_line_whatever_memory_there_is(kernel):
    async def sweep():
        n = 0
        while True:
            n += 1
            starve = Starve(kernel, "kodkod", n)

            def decide(app):
                kernel.end(app, "stopped", 0)
                starve.start()

            await ends_once(kernel, decide)
            starve.stop()
            if not starve.struck:
                break
        logs.native(n, "jumps")

    tester = started(kernel, sweep, name="tester")
    tester.limit = 0
    await tester.wait()
    assert tester.code == 0, log("tester")


@kernel_test
async def test_an_app_that_stops_itself(kernel):
    async def operation(strike, peers, _):
        strike.start()
        for _ in range(2):  # or else there is no jump before it is decided
            pass
        await kernel.current.stop()
        strike.stop()

    await sweep(kernel, operation)


@kernel_test
async def test_tasks(kernel):
    async def child():
        await asyncio.sleep_ms(0)

    async def operation(strike, peers, _):
        strike.start()
        tasks = [asyncio.create_task(child()) for _ in range(3)]
        await asyncio.gather(*tasks)
        await asyncio.wait_for(child(), 1)
        strike.stop()

    await sweep(kernel, operation)


@kernel_test
async def test_install_and_uninstall(kernel):
    async def operation(strike, peers, _):
        provider = Provider(ServiceSelector("other", 1, 0))
        strike.start()
        provider.install()
        await provider.uninstall()
        provider.install()
        strike.stop()
        await provider.uninstall()

    await sweep(kernel, operation)


@kernel_test
async def test_open_and_close(kernel):
    async def operation(strike, peers, _):
        strike.start()
        client = await ServiceClient(SELECTOR).open()
        client.close()
        client = await ServiceClient(ServiceSelector("nobody", 1, 0)).open(if_absent=None)
        strike.stop()

    await sweep(kernel, operation)


@kernel_test
async def test_invoke(kernel):
    async def operation(strike, peers, client):
        strike.start()
        await client.invoke(0, 5)
        await client.invoke(0, [1, {"a": b"b"}])
        await client.invoke(3, "later")
        strike.stop()

    await sweep(kernel, operation, prepare=opened)


@kernel_test
async def test_calls_with_a_time_limit_that_run_out(kernel):
    async def operation(strike, peers, client):
        strike.start()
        try:
            await client.invoke(3, "later", timeout_ms=0)
        except kodkod.errors.CallTimeout:
            pass
        strike.stop()

    await sweep(kernel, operation, prepare=opened)


@kernel_test
async def test_proxies_and_their_notifications(kernel):
    async def operation(strike, peers, client):
        strike.start()
        proxy = Proxy(client, await client.invoke(1))
        await client.invoke(2, "text")
        proxy.close()
        client.close()
        strike.stop()

    await sweep(kernel, operation, prepare=opened)


@kernel_test
async def test_notify(kernel):
    # The victim provides, and a client of another app listens.
    async def listen(strike, ready, heard):
        client = await ServiceClient(ServiceSelector("victim", 1, 0)).open()
        proxy = Proxy(client, await client.invoke(1))
        ready.append(True)
        while not proxy.is_closed:
            await asyncio.sleep_ms(0)
        heard.append(len(proxy.got))

    async def operation(strike, peers, _):
        provider = Provider(ServiceSelector("victim", 1, 0))
        provider.install()
        ready = []
        heard = []
        app = kodkod.apps.loader.kernel.app("listener")
        kernel.start(app, listen(strike, ready, heard))
        while not ready:
            await asyncio.sleep_ms(0)
        strike.start()
        for n in range(3):
            provider.last.notify(n)
        provider.last.notify({"long": "x" * 100})
        provider.last.notify("end", close=True)
        await provider.uninstall()
        strike.stop()
        await app.wait()

    await sweep(kernel, operation)


@kernel_test
async def test_a_handler_struck_leaves_its_caller_whole(kernel):
    # Here the provider is the victim: its caller gets ServiceClosed, whatever was cut short.
    results = []

    async def call():
        client = await ServiceClient(ServiceSelector("victim", 1, 0)).open()
        try:
            Proxy(client, await client.invoke(1))
            results.append(await client.invoke(4, "x") == ["x", {"a": "list"}])
        except kodkod.errors.ServiceClosed:
            results.append(None)
        client.close()

    async def operation(strike, peers, _):
        provider = Provider(ServiceSelector("victim", 1, 0))
        provider.strike = strike
        provider.install()
        app = started(kernel, call, name="caller")
        app.limit = 0
        await app.wait()
        assert app.code == 0, log("caller")
        await provider.uninstall()

    await sweep(kernel, operation)
    assert results[-1] is True
    assert None in results


@kernel_test
async def test_print_and_files(kernel):
    async def operation(strike, peers, _):
        strike.start()
        print("a line\nand another", end="")
        print("x" * 600)
        strike.stop()

    await sweep(kernel, operation)


@kernel_test
async def test_imports(kernel):
    files = {
        "main.py": "import hook\nhook.strike.start()\nimport one, two.part\nfrom two import more\n"
        "import asyncio\nimport os\nimport sys\nfile = open('x', 'w')\nfile.close()\n"
        "hook.strike.stop()\n",
        "one.py": "import two\n",
        "two/__init__.py": "",
        "two/part.py": "import asyncio\n",
        "two/more.py": "import one\n",
    }
    import sys

    class Hook:
        strike = None

    n = 0
    while True:
        n += 1
        Hook.strike = Strike(kernel, "victim", n)
        app = from_files(kernel, "victim", files)
        app.limit = 0
        app.modules["hook"] = Hook
        app.names.append("hook")
        await app.wait()
        assert app.reason in ("runaway", "ended"), (n, log("victim"))
        whole(kernel)
        assert "one" not in sys.modules
        if not Hook.strike.struck:
            break
    logs.native(n, "jumps")
