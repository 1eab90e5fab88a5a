# Ends that meet each other under the real kernel, and what has ended is kept by nobody: a service
# lives on while the apps of its clients come and go, and a client while its services do.
# heap: 4m
import asyncio
from time import ticks_diff, ticks_ms

import owners
from harness import raises
from kernel_lab import ended, heap, kernel_test, log, settle, started
from kodkod import errors
from kodkod.services import (
    ServiceClient,
    ServiceProvider,
    ServiceSelector,
    registry,
)
from owners import Resource

SELECTOR = ServiceSelector("ended", 1, 0)
APPS = 20
WEIGHT = 20000


class Provider(ServiceProvider):
    def __init__(self):
        super().__init__("ended", 1, 0)
        self.provides(SELECTOR, self)
        self.events = []
        self.kept = []

    def handle(self, index, arguments, gid, client):
        return getattr(self, index)(client)

    def hold(self, client):
        self.kept.append(Resource(self, client))
        return self.kept[-1]

    async def sleep(self, client):
        await asyncio.sleep(20)

    async def stay(self, client):
        while True:
            try:
                await asyncio.sleep(20)
            except asyncio.CancelledError:
                pass

    def on_closed(self, client):
        self.events.append("client closed")


class Proxy(owners.Proxy):
    def on_closed(self, reason):
        self.got.append(reason)


async def opened(**options):
    return await ServiceClient(SELECTOR, **options).open(5000)


async def provided(kernel, kind=Provider):
    """(app, its provider)"""

    def main():
        made.append(kind())
        made[0].install()

    made = []
    app = started(kernel, main, name="provider")
    await settle()
    return app, made[0]


@kernel_test
async def test_a_hook_uninstalls_while_the_app_of_two_of_its_clients_ends(kernel):
    class Leaving(Provider):
        def on_closed(self, client):
            super().on_closed(client)
            self.uninstall()

    async def use(exc):
        for _ in range(2):
            client = await opened()
            await client.invoke("hold")
        if exc:
            raise exc

    for exc, reason in ((None, "ended"), (ValueError("as told"), "failed")):
        app, provider = await provided(kernel, Leaving)
        await ended(started(kernel, use, exc), reason, 0 if exc is None else 1)
        await ended(app, "ended", 0)
        assert provider.events == 2 * ["resource closed", "client closed"]
        assert not registry.providers


@kernel_test
async def test_a_proxy_that_is_told_of_its_clients_close_may_close_the_others(kernel):
    class Nervous(Proxy):
        others = ()

        def on_closed(self, reason):
            super().on_closed(reason)
            for other in self.others:
                other.close()
            self.client_.close()

    app, provider = await provided(kernel)
    client = await opened()
    proxies = []
    for _ in range(4):
        proxies.append(Nervous(client, await client.invoke("hold")))
    for proxy in proxies:
        proxy.others = proxies
    client.close()
    assert [proxy.got for proxy in proxies] == 4 * [["closed"]]
    assert provider.events == 4 * ["resource closed"] + ["client closed"]
    assert not client.inboxes_ and not provider.sessions_
    await app.stop()


@kernel_test
async def test_a_device_that_shuts_down_ends_calls_resources_and_proxies_once(kernel):
    said = []

    async def use(what):
        client = await opened()
        proxy = Proxy(client, await client.invoke("hold"))
        try:
            await client.invoke(what, timeout_ms=None)
        except BaseException as exc:
            said.append(type(exc).__name__)
            raise
        finally:
            proxy.close()
            client.close()
            said.append(proxy.got)

    # Apps are stopped in the order of their start: once the provider first, once the client.
    for first in ("provider", "client"):
        said.clear()
        if first == "client":
            waiting = started(kernel, use, "sleep", name="client")
            await settle()
        app, provider = await provided(kernel)
        if first == "provider":
            waiting = started(kernel, use, "sleep", name="client")
        while not provider.kept or not list(provider.sessions_.values())[0].calls:
            await asyncio.sleep_ms(1)
        kernel.task(kernel.system, kernel.stop_all())
        await app.wait()
        await waiting.wait()
        assert (app.reason, waiting.reason) == ("stopped", "stopped")
        # All services of the device have ended before the apps that are stopped go on.
        assert said == ["CancelledError", ["service"]], said
        assert provider.events == ["resource closed", "client closed"]
        assert not registry.providers


@kernel_test
async def test_a_stop_ends_the_services_of_an_app_at_once_and_leaves_it_its_clients(kernel):
    told = []

    async def serve():
        client = await opened()
        provider = ServiceProvider("stopped", 1, 0)
        provider.provides(ServiceSelector("stopped", 1, 0), Provider())
        provider.install()
        try:
            await asyncio.sleep(20)
        finally:
            told.append(type(await client.invoke("hold")))
            await asyncio.sleep_ms(5)  # it is not over before its callers have tried again
            told.append(type(await client.invoke("hold")))
            client.close()

    async def use():
        client = await ServiceClient(ServiceSelector("stopped", 1, 0)).open()
        for method in ("sleep", "sleep"):
            with raises(errors.ServiceClosed):
                await client.invoke(method, timeout_ms=None)
        told.append("callers told twice")
        with raises(errors.ServiceNotFound):
            await ServiceClient(ServiceSelector("stopped", 1, 0)).open(timeout_ms=None)
        client.close()

    app, provider = await provided(kernel)
    stopped = started(kernel, serve, name="stopped")
    await settle()
    user = started(kernel, use, name="user")
    await settle()
    await stopped.stop(60000)
    await ended(user, "ended", 0)
    assert told == [int, "callers told twice", int], told
    assert stopped.reason == "stopped" and not log("stopped")
    await app.stop()


# How a hook, or a step, can end, and what becomes of its app then.
ENDS = (
    (ValueError, None),
    (SystemExit, ("failed", 3)),
    (KeyboardInterrupt, ("failed", 1)),
    (MemoryError, ("memory", 1)),
    (None, ("runaway", 1)),
)


def struck(hook, here, how):
    if hook == here:
        while how is None:
            pass
        raise how(3)


async def after_a_while(hook, here, how):
    await asyncio.sleep_ms(0)
    struck(hook, here, how)


@kernel_test
async def test_handlers_and_hooks_of_a_provider_end_its_own_app_alone(kernel):
    class Struck(Provider):
        def handle(self, index, arguments, gid, client):
            struck("handle", here, how)
            if index == "hold":
                self.kept.append(StruckResource(self, client))
                return self.kept[-1]
            return after_a_while("async handle", here, how)

        def on_opened(self, client):
            struck("on_opened", here, how)

        def on_closed(self, client):
            super().on_closed(client)
            struck("on_closed", here, how)

    class StruckResource(Resource):
        def on_closed(self):
            super().on_closed()
            struck("resource", here, how)

    async def use():
        client = ServiceClient(SELECTOR)
        try:
            await client.open()
            Proxy(client, await client.invoke("hold"))
            await client.invoke("work")
        except errors.KodkodError as error:
            told.append(type(error).__name__)
        client.close()

    for here in ("handle", "async handle", "on_opened", "on_closed", "resource"):
        for how, verdict in ENDS:
            told = []
            app, provider = await provided(kernel, Struck)
            if how is None:
                app.limit = 40
            await ended(started(kernel, use, name="client"), "ended", 0)
            if verdict:
                await ended(app, *verdict)
                expected = "ServiceClosed"
            else:
                assert app.is_running, (here, how)
                expected = "RemoteError"
                await app.stop()
            assert told == (
                [expected] if "handle" in here or (verdict and here == "on_opened") else []
            )
            assert provider.events[-1:] in ([], ["client closed"])
            assert not registry.providers and not provider.sessions_


@kernel_test
async def test_hooks_and_steps_of_a_client_end_its_own_app_alone(kernel):
    class StruckProxy(Proxy):
        def on_notified(self, value):
            super().on_notified(value)
            struck("on_notified", here, how)
            if here == "async on_notified":
                return after_a_while(here, here, how)

        def on_closed(self, reason):
            super().on_closed(reason)
            struck("on_closed", here, how)

    class StruckClient(ServiceClient):
        def on_reconnected(self):
            struck("on_reconnected", here, how)

    async def sleep(client):
        try:
            await client.invoke("sleep")
        except errors.ServiceClosed:
            pass

    async def use():
        client = StruckClient(SELECTOR, reconnect=True)
        await client.open()
        StruckProxy(client, await client.invoke("hold"))
        asyncio.create_task(sleep(client))
        while not provider.sessions_[client.id].calls:
            await asyncio.sleep_ms(0)
        struck("step", here, how)
        await asyncio.sleep(20)

    for here in ("step", "on_notified", "async on_notified", "on_closed", "on_reconnected"):
        for how, verdict in ENDS:
            if here == "step" and not verdict:
                verdict = "failed", 1
            app, provider = await provided(kernel)
            client = started(kernel, use, name="client", limit=40 if how is None else None)
            while client.is_running and not provider.kept:
                await asyncio.sleep_ms(1)
            await settle()
            if client.verdict is None:
                provider.kept[0].notify("before")
                await settle()
            if here in ("on_closed", "on_reconnected"):
                provider.uninstall()
                kernel.call(app, provider.install)
                await settle()
            if verdict:
                await ended(client, *verdict)
            else:
                assert client.is_running, (here, how)
                await client.stop()
            assert app.is_running
            ends = provider.events
            assert ends.count("resource closed") == 1 and ends[-1] == "client closed", ends
            assert not provider.sessions_ and provider.running_ == 0
            await app.stop()


@kernel_test
async def test_a_handlers_time_is_its_providers_and_the_callers_clock_stands_still(kernel):
    class Busy(Provider):
        def busy(self, client):
            start = ticks_ms()
            while ticks_diff(ticks_ms(), start) < 600:
                pass

    async def use():
        await (await opened()).invoke("busy")

    app, provider = await provided(kernel, Busy)
    caller = started(kernel, use, name="caller", limit=300)
    await ended(caller, "ended", 0)
    assert app.is_running and app.cpu_us + app.cpu_s * 1000000 >= 590000
    app.limit = 60
    caller = started(kernel, use, name="caller")
    await ended(caller, "failed", 1)
    assert "ServiceClosed" in caller.traceback
    await ended(app, "runaway", 1)


async def growth(kernel, round_of):
    """By how many bytes the heap grows with each of the apps that `round_of(make heavy)` runs."""

    def heavy(app):
        app.defines = {"weight": bytearray(WEIGHT)}
        return app

    await round_of(heavy)
    before = await heap(kernel)
    for _ in range(APPS):
        await round_of(heavy)
    return ((await heap(kernel)) - before) // APPS


@kernel_test
async def test_closed_resources_that_a_provider_keeps_keep_no_app_of_a_client(kernel):
    async def use():
        await (await opened()).invoke("hold")

    async def one(heavy):
        await heavy(started(kernel, use)).wait()

    app, provider = await provided(kernel)
    assert await growth(kernel, one) < WEIGHT // 4
    assert len(provider.kept) == APPS + 1
    await app.stop()


@kernel_test
async def test_handlers_that_ignore_their_cancellation_keep_no_app_of_a_client(kernel):
    async def use():
        client = await opened()
        asyncio.create_task(client.invoke("stay", timeout_ms=None))
        await settle()
        raise SystemExit

    async def one(heavy):
        await heavy(started(kernel, use)).wait()

    app, provider = await provided(kernel)
    assert await growth(kernel, one) < WEIGHT // 4
    assert provider.running_ == APPS + 1
    await app.stop(0)


@kernel_test
async def test_clients_and_proxies_that_an_app_keeps_keep_no_app_of_a_provider(kernel):
    kept = []

    async def one(heavy):
        app, provider = await provided(kernel)
        heavy(app)
        client = await opened(reconnect=bool(len(kept) % 2))
        kept.append((client, Proxy(client, await client.invoke("hold"))))
        provider.kept[0].notify("before")
        call = asyncio.create_task(client.invoke("sleep"))
        await settle()
        await app.stop()
        with raises(errors.ServiceClosed):
            await call
        await settle()
        assert kept[-1][1].got == ["before", "service"]
        for client, _ in kept[:-1]:
            client.close()

    assert await growth(kernel, one) < WEIGHT // 4
    kept[-1][0].close()


@kernel_test
async def test_a_client_that_waits_to_reconnect_keeps_none_of_the_providers_before(kernel):
    class Returning(ServiceClient):
        times = 0

        def on_reconnected(self):
            self.times += 1

    client = Returning(SELECTOR, reconnect=True)

    async def one(heavy):
        app, provider = await provided(kernel)
        heavy(app)
        if not client.times and client.id is None and not client.opening_:
            await client.open()
        while client.id is None:
            await asyncio.sleep_ms(1)
        proxy = Proxy(client, await client.invoke("hold"))
        provider.kept[0].notify("before")
        await app.stop()
        await settle()
        assert proxy.got == ["before", "service"]

    assert await growth(kernel, one) < WEIGHT // 4
    assert client.times == APPS
    client.close()


@kernel_test
async def test_an_app_of_several_providers_lives_until_the_last_is_uninstalled(kernel):
    def main():
        for name in ("one", "two"):
            provider = Provider()
            provider.name = name
            provider.provides(ServiceSelector(name, 1, 0), provider)
            provider.services_.pop(0)
            provider.install()
            made.append(provider)

    made = []
    app = started(kernel, main)
    await settle()
    clients, proxies = [], []
    for name in ("one", "two"):
        clients.append(await ServiceClient(ServiceSelector(name, 1, 0)).open())
        proxies.append(Proxy(clients[-1], await clients[-1].invoke("hold")))
    made[0].uninstall()
    await settle()
    assert (proxies[0].got, proxies[1].got, app.is_running) == (["service"], [], True)
    with raises(errors.ServiceClosed):
        await clients[0].invoke("hold")
    assert await clients[1].invoke("hold")
    made[1].uninstall()
    await ended(app, "ended", 0)
    await settle()
    assert proxies[1].got == ["service"]
