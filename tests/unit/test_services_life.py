# How each object can end, seen from both sides, and that every end is told exactly once.
#
# client:   closed by its owner, its app ended or crashed or exited, provider uninstalled,
#           provider's app ended or crashed
# provider: uninstalled (also waiting, also by its own handler), its app ended or crashed
# resource: closed by its provider, by notify(close=True), by its proxy, with its client, with its
#           provider, by overflow
# proxy:    closed by its owner, with its client, by the resource, with the provider
# call:     answered, failed, timed out, cancelled by the caller, by its provider, by the client's
#           close, by the caller's app's end, by the provider's uninstall and app's end
import asyncio
import random

import harness
import owners
from harness import raises
from kodkod import errors
from kodkod.services import registry
from owners import Owner, Provider, Proxy, client, installed, opened, proxy, scenario


async def setting(**options):
    """(app of the provider, provider, app of the client, client, proxy)"""
    server, user = Owner("server"), Owner("user")
    provider = installed(server, kind=options.pop("kind", Provider))
    mine = await user.run(opened(**options))
    held = await user.run(proxy(mine))
    return server, provider, user, mine, held


def fail(exc):
    async def body():
        raise exc

    return body()


# A client's ends


@scenario
async def test_a_client_closed_by_its_owner(kernel):
    server, provider, user, mine, held = await setting()
    kernel.call(user, mine.close)
    assert provider.events == ["opened", "resource closed", "client closed"]
    assert held.got == [("closed", "closed")]
    assert mine.id is None and held.handle is None and held.is_closed
    with raises(errors.ClientClosed):
        await user.run(mine.invoke("echo", 1))
    assert not provider.resources() and not provider.sessions_


@scenario
async def test_closing_is_plain_idempotent_and_never_raises(kernel):
    server, provider, user, mine, held = await setting()
    for _ in range(3):
        kernel.call(user, held.close)
    for _ in range(3):
        kernel.call(user, mine.close)
    kernel.call(user, held.close)
    never = client()
    never.close()
    never.close()
    assert provider.events == ["opened", "resource closed", "client closed"]
    assert held.got == [("closed", "closed")]


@scenario
async def test_closing_after_the_provider_is_gone_is_quiet(kernel):
    server, provider, user, mine, held = await setting()
    server.end()
    kernel.call(user, held.close)
    kernel.call(user, mine.close)
    await owners.settle()
    assert held.got == [("closed", "service")]
    with raises(errors.ClientClosed):
        await user.run(mine.invoke("echo", 1))


@scenario
async def test_closing_in_a_finally_while_being_cancelled(kernel):
    server, provider, user, mine, held = await setting()

    async def use():
        try:
            await asyncio.sleep_ms(10000)
        finally:
            held.close()
            mine.close()

    task = user.run(use())
    await owners.settle()
    task.cancel()
    await owners.settle()
    assert provider.events == ["opened", "resource closed", "client closed"]
    assert held.got == [("closed", "closed")]


@scenario
async def test_a_client_whose_app_ends_in_any_way(kernel):
    for exc in (None, ValueError("crash"), SystemExit(3), KeyboardInterrupt(), MemoryError()):
        server, provider, user, mine, held = await setting()
        if exc is None:
            user.end()
        else:
            user.run(fail(exc))
            await owners.settle()
        assert not user.running and server.running
        assert provider.events == ["opened", "resource closed", "client closed"]
        assert not provider.sessions_
        await owners.settle()
        assert held.got == [], "nobody is left to be told"
        server.end()


@scenario
async def test_a_client_whose_app_ends_during_its_call(kernel):
    server, provider, user, mine, held = await setting()
    user.run(mine.invoke("sleep", 10000))
    await owners.settle()
    user.end()
    await owners.settle()
    assert provider.events == [
        "opened",
        "started",
        "resource closed",
        "client closed",
        "cancelled",
    ]
    assert provider.running_ == 0


@scenario
async def test_close_cancels_the_calls_of_that_client_only(kernel):
    server, provider, user, mine, held = await setting()
    other = await opened()
    kept = asyncio.create_task(other.invoke("sleep", 20))
    call = user.run(mine.invoke("sleep", 10000))
    await owners.settle()
    kernel.call(user, mine.close)
    with raises(errors.ClientClosed):
        await call
    await owners.settle()
    assert "cancelled" in provider.events
    assert await kept == "slept"


@scenario
async def test_resources_close_in_creation_order_before_the_clients_hook(kernel):
    server, provider, user, mine, held = await setting()
    for n in range(5):
        await user.run(mine.invoke("open", f"r{n}"))
    kernel.call(user, mine.close)
    expected = ["opened", "resource closed"] + [f"r{n} closed" for n in range(5)]
    assert provider.events == expected + ["client closed"]


@scenario
async def test_in_its_hooks_a_closing_client_is_in_no_map_and_its_calls_are_cancelled(kernel):
    seen = []

    class Looking(Provider):
        def on_open(self, arguments, client):
            return LookingResource(self, client, arguments)

        def on_closed(self, client):
            self.look("client", client)

        def look(self, what, client):
            waiting = [call for call in session.calls if not call.done]
            with raises(errors.ResourceClosed):
                self.resource(client, held_handle)
            with raises(errors.ResourceClosed):
                owners.Resource(self, client)
            # The other client is there, its call goes on.
            seen.append((what, list(self.sessions_) == [other.id], len(waiting)))
            seen.append(len(self.resources()))

    class LookingResource(owners.Resource):
        def on_closed(self):
            self.provider.look(self.label, client_id)

    server, provider, user, mine, held = await setting(kind=Looking)
    other = await opened()
    session, client_id, held_handle = mine.session_, mine.id, held.handle
    await user.run(mine.invoke("open", "second"))

    async def both():
        calls = [mine.invoke("sleep", 10000) for _ in range(2)]
        return await asyncio.gather(*calls, return_exceptions=True)

    calls = user.run(both())
    kept = asyncio.create_task(other.invoke("sleep", 20))
    await owners.settle()
    kernel.call(user, mine.close)
    assert seen == [("resource", True, 0), 0, ("second", True, 0), 0, ("client", True, 0), 0]
    assert [type(error) for error in await calls] == [errors.ClientClosed] * 2
    assert await kept == "slept"


@scenario
async def test_who_waits_for_the_last_client_is_told_also_when_the_clients_hook_fails(kernel):
    class Failing(Provider):
        def on_closed(self, client):
            raise ValueError("hook")

    provider = installed(Owner(), kind=Failing)
    waiting = asyncio.create_task(provider.uninstall(wait=True))
    mine = await opened()
    mine.close()
    await waiting
    assert not registry.providers


@scenario
async def test_a_close_comes_before_any_later_call_of_that_client(kernel):
    server, provider, user, mine, held = await setting()

    async def use():
        await mine.invoke("open", "second")
        held.close()
        mine.close()
        await mine.open()
        await mine.invoke("open", "third")

    await user.run(use())
    assert provider.events == [
        "opened",
        "resource closed",
        "second closed",
        "client closed",
        "opened",
    ]


@scenario
async def test_failing_hooks_are_logged_and_stop_nothing(kernel):
    class Failing(Provider):
        def on_open(self, arguments, client):
            return FailingResource(self, client, arguments)

        def on_closed(self, client):
            super().on_closed(client)
            raise ValueError("hook")

    class FailingResource(owners.Resource):
        def on_closed(self):
            super().on_closed()
            raise ValueError("hook")

    server, provider, user, mine, held = await setting(kind=Failing)
    await user.run(mine.invoke("open", "second"))
    kernel.call(user, mine.close)
    assert provider.events == ["opened", "resource closed", "second closed", "client closed"]
    assert len(kernel.logged) == 3
    assert {owner for owner, exc, what in kernel.logged} == {server}
    assert user.running and server.running


@scenario
async def test_hooks_run_as_the_provider_and_may_be_async(kernel):
    seen = []

    class Later(Provider):
        async def on_closed(self, client):
            await asyncio.sleep_ms(0)
            seen.append(kernel.current)

        async def on_opened(self, client):
            raise ValueError("logged")

    server, provider, user, mine, held = await setting(kind=Later)
    kernel.call(user, mine.close)
    await owners.settle()
    assert seen == [server]
    assert len(kernel.logged) == 1 and server.running


@scenario
async def test_a_deadly_hook_ends_the_provider_never_the_closing_client(kernel):
    class Deadly(Provider):
        def on_open(self, arguments, client):
            return DeadlyResource(self, client, arguments)

    class DeadlyResource(owners.Resource):
        def on_closed(self):
            raise SystemExit(1)

    server, provider, user, mine, held = await setting(kind=Deadly)
    await user.run(mine.invoke("open", "second"))
    kernel.call(user, mine.close)
    assert user.running and not server.running
    assert not registry.providers and not provider.sessions_
    assert held.got == [("closed", "closed")]


# A provider's ends


@scenario
async def test_uninstall_ends_everything_at_once(kernel):
    server, provider, user, mine, held = await setting()
    call = user.run(mine.invoke("sleep", 10000))
    await owners.settle()
    kernel.call(server, provider.uninstall)
    assert not registry.providers
    with raises(errors.ServiceClosed):
        await call
    with raises(errors.ServiceClosed):
        await user.run(mine.invoke("echo", 1))
    await owners.settle()
    assert held.got == [("closed", "service")] and held.is_closed
    assert provider.events == [
        "opened",
        "started",
        "resource closed",
        "client closed",
        "cancelled",
    ]
    assert kernel.released_owners == [server]
    assert not registry.has_providers(server)


@scenario
async def test_uninstall_acts_awaited_or_not(kernel):
    provider = Provider()
    provider.install()
    provider.uninstall()
    assert not registry.providers
    provider.install()
    await provider.uninstall()
    assert not registry.providers


@scenario
async def test_uninstall_wait_waits_for_a_client_and_its_close(kernel):
    server = Owner("server")
    provider = installed(server)
    waiting = server.run(provider.uninstall(wait=True))
    await owners.settle()
    assert not waiting.done()
    first, second = await opened(), await opened()
    first.close()
    await owners.settle()
    assert not waiting.done() and registry.providers
    assert await second.invoke("echo", 1) == 1
    second.close()
    await waiting
    assert not registry.providers
    assert provider.events.count("client closed") == 2


@scenario
async def test_uninstall_wait_counts_clients_since_install(kernel):
    provider = Provider()
    provider.install()
    (await opened()).close()
    await provider.uninstall(wait=True)
    provider.install()
    waiting = asyncio.create_task(provider.uninstall(wait=True))
    await owners.settle()
    assert not waiting.done()
    (await opened()).close()
    await waiting


@scenario
async def test_uninstall_wait_ends_when_the_provider_is_uninstalled_otherwise(kernel):
    provider = Provider()
    provider.install()
    waiting = asyncio.create_task(provider.uninstall(wait=True))
    await owners.settle()
    provider.uninstall()
    await waiting


@scenario
async def test_uninstall_wait_can_be_cancelled(kernel):
    provider = Provider()
    provider.install()
    waiting = asyncio.create_task(provider.uninstall(wait=True))
    await owners.settle()
    waiting.cancel()
    with raises(asyncio.CancelledError):
        await waiting
    assert registry.providers == [provider]
    assert not provider.idle_._tasks


@scenario
async def test_uninstall_wait_does_nothing_until_it_is_awaited(kernel):
    provider = Provider()
    provider.install()
    (await opened()).close()
    provider.uninstall(wait=True)
    await owners.settle()
    assert registry.providers == [provider]


@scenario
async def test_a_handler_may_uninstall_its_own_provider(kernel):
    class Quitting(Provider):
        def on_quit(self, arguments, client):
            self.uninstall()

        async def on_quit_later(self, arguments, client):
            await asyncio.sleep_ms(0)
            self.uninstall()
            await asyncio.sleep_ms(0)
            self.events.append("went on")

    for name in ("quit", "quit_later"):
        server, provider, user, mine, held = await setting(kind=Quitting)
        with raises(errors.ServiceClosed):
            await user.run(mine.invoke(name))
        await owners.settle()
        assert held.got == [("closed", "service")]
        assert server.running and not registry.providers


@scenario
async def test_a_provider_whose_app_ends_in_any_way(kernel):
    for exc in (None, ValueError("crash"), SystemExit(3), KeyboardInterrupt(), MemoryError()):
        server, provider, user, mine, held = await setting()
        call = user.run(mine.invoke("sleep", 10000))
        await owners.settle()
        if exc is None:
            server.end()
        else:
            server.run(fail(exc))
        with raises(errors.ServiceClosed):
            await call
        with raises(errors.ServiceClosed):
            await user.run(mine.invoke("echo", 1))
        await owners.settle()
        assert held.got == [("closed", "service")]
        assert not server.running and user.running
        assert not registry.providers and not provider.sessions_ and provider.running_ == 0
        user.end()


@scenario
async def test_queued_notifications_are_delivered_before_the_end_is_told(kernel):
    for reason in ("closed", "resource", "service"):
        server, provider, user, mine, held = await setting()
        resource = provider.resources()[0]
        kernel.call(server, resource.notify, 1)
        kernel.call(server, resource.notify, 2)
        if reason == "closed":
            kernel.call(user, held.close)
            assert held.handle is None
        elif reason == "resource":
            kernel.call(server, resource.close)
        else:
            kernel.call(server, provider.uninstall)
        await owners.settle()
        assert held.got == [1, 2, ("closed", reason)], held.got
        server.end()


@scenario
async def test_close_of_the_client_delivers_what_was_queued_first(kernel):
    server, provider, user, mine, held = await setting()
    kernel.call(server, provider.resources()[0].notify, 1)
    kernel.call(user, mine.close)
    assert held.handle is None
    await owners.settle()
    assert held.got == [1, ("closed", "closed")]


@scenario
async def test_every_proxy_is_told_once_whatever_ends_follow(kernel):
    server, provider, user, mine, held = await setting()
    second = await user.run(proxy(mine))
    kernel.call(server, provider.resources()[1].close)
    kernel.call(user, held.close)
    kernel.call(server, provider.uninstall)
    kernel.call(user, second.close)
    kernel.call(user, mine.close)
    server.end()
    await owners.settle()
    assert held.got == [("closed", "closed")]
    assert second.got == [("closed", "resource")]
    assert provider.events.count("resource closed") == 2


@scenario
async def test_proxies_that_are_not_notifiable_are_told_too(kernel):
    class Silent(Provider):
        def on_open(self, arguments, client):
            return owners.Resource(self, client, arguments, notifiable=False)

    server, provider, user, mine, held = await setting(kind=Silent)
    second = await user.run(proxy(mine))
    kernel.call(server, provider.resources()[0].close)
    await owners.settle()
    assert held.got == [("closed", "resource")]
    kernel.call(server, provider.uninstall)
    await owners.settle()
    assert second.got == [("closed", "service")]


@scenario
async def test_on_closed_of_a_proxy_may_fail_or_be_async(kernel):
    told = []

    class Later(Proxy):
        async def on_closed(self, reason):
            await asyncio.sleep_ms(0)
            told.append(reason)
            raise ValueError("logged")

    server, provider, user, mine, held = await setting()
    for n in range(3):

        async def make():
            return Later(mine, await mine.invoke("open", "r"))

        await user.run(make())
    made = [mine.inboxes_[h] for h in sorted(mine.inboxes_)][1:]
    kernel.call(user, made[0].close)
    kernel.call(server, provider.resources()[1].close)
    await owners.settle()
    kernel.call(server, provider.uninstall)
    await owners.settle()
    assert told == ["closed", "resource", "service"]
    assert len(kernel.logged) == 3 and user.running


@scenario
async def test_a_graceful_stop_of_the_providers_app_ends_calls_as_service_closed(kernel):
    # The scheduler decides the end, cancels the tasks, and closes what is owned at last.
    server, provider, user, mine, held = await setting()
    call = user.run(mine.invoke("sleep", 10000))
    await owners.settle()
    server.verdict = "stopped"
    for steps in server.tasks:
        steps.task.cancel()
    with raises(errors.ServiceClosed):
        await call


# A resource's ends


@scenario
async def test_a_resource_closed_by_its_provider(kernel):
    server, provider, user, mine, held = await setting()
    resource = provider.resources()[0]
    for _ in range(2):
        kernel.call(server, resource.close)
    assert resource.is_closed and provider.events == ["opened", "resource closed"]
    await owners.settle()
    assert held.got == [("closed", "resource")] and held.is_closed
    with raises(errors.ResourceClosed):
        kernel.call(server, resource.notify, 1)
    assert await user.run(mine.invoke("echo", 1)) == 1


@scenario
async def test_a_resource_closed_by_its_proxy(kernel):
    server, provider, user, mine, held = await setting()
    resource = provider.resources()[0]
    kernel.call(user, held.close)
    assert resource.is_closed and provider.events == ["opened", "resource closed"]
    assert held.got == [("closed", "closed")]
    kernel.call(server, resource.close)
    assert provider.events == ["opened", "resource closed"]


@scenario
async def test_a_resource_cannot_be_made_for_a_closed_client(kernel):
    server, provider, user, mine, held = await setting()
    number = mine.id
    kernel.call(user, mine.close)
    with raises(errors.ResourceClosed):
        owners.Resource(provider, number)


@scenario
async def test_a_resource_may_close_others_in_its_hook(kernel):
    class Group(Provider):
        def on_open(self, arguments, client):
            return GroupResource(self, client, arguments)

    class GroupResource(owners.Resource):
        def on_closed(self):
            super().on_closed()
            for other in self.provider.resources():
                other.close()

    server, provider, user, mine, held = await setting(kind=Group)
    for n in range(3):
        await user.run(mine.invoke("open", f"r{n}"))
    kernel.call(user, held.close)
    await owners.settle()
    assert sorted(provider.events[1:]) == [
        "r0 closed",
        "r1 closed",
        "r2 closed",
        "resource closed",
    ]
    kernel.call(user, mine.close)
    assert provider.events[-1] == "client closed"


# Reconnecting


class Returning(Proxy):
    pass


@scenario
async def test_a_client_with_reconnect_opens_again_and_is_told(kernel):
    from kodkod.services import ServiceClient, ServiceSelector

    told = []

    class Client(ServiceClient):
        def on_reconnected(self):
            told.append((self.id, kernel.current))

    server, user = Owner("server"), Owner("user")
    provider = installed(server)
    mine = Client(ServiceSelector(owners.UUID, 1, 0), reconnect=True)
    await user.run(mine.open())
    first = mine.id
    held = await user.run(proxy(mine))
    for n in range(3):
        kernel.call(server, provider.uninstall)
        await owners.settle()
        assert len(told) == n and mine.id is None
        with raises(errors.ServiceClosed):
            await user.run(mine.invoke("echo", 1))
        kernel.call(server, provider.install)
        await owners.settle()
        assert len(told) == n + 1 and told[-1] == (mine.id, user)
        assert mine.id not in (first, None)
        assert await user.run(mine.invoke("echo", n)) == n
    assert held.got == [("closed", "service")]


@scenario
async def test_reconnect_survives_the_providers_crash_and_waits_for_one_that_fits(kernel):
    server, user = Owner("server"), Owner("user")
    installed(server, "first")
    mine = await user.run(opened(reconnect=True))
    server.end("failed")
    installed(Owner(), "new", version=(2, 0))
    await owners.settle()
    assert mine.id is None
    installed(Owner(), "second")
    await owners.settle()
    assert mine.name == "second"


@scenario
async def test_reconnect_tells_the_proxies_first(kernel):
    from kodkod.services import ServiceClient, ServiceSelector

    class Client(ServiceClient):
        async def on_reconnected(self):
            held.got.append("reconnected")

    server, user = Owner("server"), Owner("user")
    provider = installed(server)
    mine = Client(ServiceSelector(owners.UUID, 1, 0), reconnect=True)
    await user.run(mine.open())
    held = await user.run(proxy(mine))
    kernel.call(server, provider.resources()[0].notify, 1)
    kernel.call(server, provider.uninstall)
    kernel.call(server, provider.install)
    await owners.settle()
    assert held.got == [1, ("closed", "service"), "reconnected"]


@scenario
async def test_close_ends_reconnecting(kernel):
    server, user = Owner("server"), Owner("user")
    provider = installed(server)
    mine = await user.run(opened(reconnect=True))
    kernel.call(server, provider.uninstall)
    await owners.settle()
    kernel.call(user, mine.close)
    kernel.call(server, provider.install)
    await owners.settle()
    assert mine.id is None and not registry.changed._tasks
    with raises(errors.ClientClosed):
        await user.run(mine.invoke("echo", 1))
    await user.run(mine.open())
    assert await user.run(mine.invoke("echo", 1)) == 1


@scenario
async def test_reconnecting_ends_with_its_app(kernel):
    server, user = Owner("server"), Owner("user")
    provider = installed(server)
    await user.run(opened(reconnect=True))
    kernel.call(server, provider.uninstall)
    await owners.settle()
    user.end()
    await owners.settle()
    kernel.call(server, provider.install)
    await owners.settle()
    assert not provider.sessions_


@scenario
async def test_without_reconnect_a_client_can_be_opened_again_after_its_provider_went(kernel):
    server, provider, user, mine, held = await setting()
    kernel.call(server, provider.uninstall)
    kernel.call(server, provider.install)
    await user.run(mine.open())
    assert await user.run(mine.invoke("echo", 1)) == 1


@scenario
async def test_an_own_open_while_reconnecting_is_already_open(kernel):
    server, user = Owner("server"), Owner("user")
    provider = installed(server)
    mine = await user.run(opened(reconnect=True))
    kernel.call(server, provider.uninstall)

    async def attempt():
        with raises(errors.AlreadyOpen):
            await mine.open(timeout_ms=1000)

    await user.run(attempt())
    await owners.settle()
    await user.run(attempt())
    kernel.call(server, provider.install)
    await owners.settle()
    assert len(provider.sessions_) == 1
    assert await user.run(mine.invoke("echo", 1)) == 1


# Everything at once


async def interleave(kernel, seed, steps):
    """Random steps of 5 providers and 20 clients, then everything ends."""
    rnd = random.Random(seed) if hasattr(random, "Random") else random
    random.seed(seed)
    servers = [Owner("server") for _ in range(5)]
    users = [Owner("user") for _ in range(20)]
    providers = [installed(owner, f"p{n}", uuid=f"{n}") for n, owner in enumerate(servers)]
    clients = []
    proxies = []

    async def use(user, number, job):
        try:
            if job == 0:
                clients.append((user, await client(f"{number}").open(timeout_ms=1)))
                return
            mine = [c for u, c in clients if u is user]
            if not mine:
                return
            mine = rnd.choice(mine)
            if job == 1:
                await mine.invoke(rnd.choice(("echo", "later")), number)
            elif job == 2:
                await mine.invoke("sleep", rnd.randrange(5), timeout_ms=rnd.randrange(1, 5))
            elif job == 3:
                proxies.append((user, Proxy(mine, await mine.invoke("open", "r"))))
            elif job == 4:
                mine.close()
            elif job == 5 and proxies:
                owner, held = rnd.choice(proxies)
                if owner is user:
                    held.close()
        except errors.KodkodError:
            pass

    for _ in range(steps):
        job = rnd.randrange(12)
        if job < 6:
            user = rnd.choice(users)
            if user.running:
                user.run(use(user, rnd.randrange(5), job))
        elif job < 9:
            provider = rnd.choice(providers)
            for resource in provider.resources():
                try:
                    kernel.call(provider.owner_, resource.notify, 1, rnd.randrange(8) == 0)
                except errors.KodkodError:
                    pass
        elif job == 9:
            provider = rnd.choice(providers)
            if provider.owner_.running:
                if provider in registry.providers:
                    kernel.call(provider.owner_, provider.uninstall)
                else:
                    kernel.call(provider.owner_, provider.install)
        elif job == 10 and rnd.randrange(6) == 0:
            rnd.choice(servers + users).end("failed")
        else:
            await asyncio.sleep_ms(rnd.randrange(2))
    for owner in servers + users:
        owner.end()
    await owners.settle(20)
    for provider in providers:
        assert not provider.sessions_ and provider.running_ == 0 and not provider.turns_
        assert not provider.resources()
        opened_ = provider.events.count("opened")
        assert opened_ >= provider.events.count("client closed")
    for owner, held in proxies:
        assert len([v for v in held.got if type(v) is tuple]) <= 1, held.got
    for owner, mine in clients:
        assert mine.session_ is None and not mine.inboxes_


def test_random_interleavings_leave_nothing():
    for seed in range(1000 if harness.deep else 60):
        try:
            owners.run(interleave, seed, 120)
        except BaseException:
            print("seed", seed)
            raise


@scenario
async def test_close_is_whole_and_never_raises_also_where_the_stack_is_nearly_full(kernel):
    def deep(frames, function):
        return deep(frames - 1, function) if frames else function()

    def fits(frames):
        try:
            deep(frames, int)
            return True
        except RuntimeError:
            return False

    most = 1
    while fits(most):
        most += 1
    provider = installed(Owner())
    for which in ("client", "proxy"):
        for left in range(6, 60):
            mine = await opened()
            held = await proxy(mine)
            deep(most - left, (mine if which == "client" else held).close)
            await owners.settle()
            assert held.got == [("closed", "closed")] and held.is_closed, (which, left)
            assert not provider.resources()
            mine.close()
            assert not provider.sessions_
