# Opening and installing: waiting, absence, ids, permissions, and opening again.
import asyncio
from time import ticks_diff, ticks_ms

import owners
from harness import raises
from kodkod import errors
from kodkod.services import ServiceClient, ServiceProvider, ServiceSelector, registry
from owners import UUID, Owner, Provider, client, installed, opened, scenario

SELECTOR = ServiceSelector(UUID, 1, 0)


@scenario
async def test_fields_come_from_the_provider(kernel):
    Provider(version=(1, 2)).install()
    mine = client()
    assert (mine.id, mine.name, mine.major, mine.minor, mine.patch) == (None, None, 0, 0, 0)
    assert await mine.open() is mine
    assert (mine.name, mine.major, mine.minor, mine.patch) == ("provider", 1, 2, 3)
    assert type(mine.id) is int


@scenario
async def test_open_waits_100_ms_by_default(kernel):
    started = ticks_ms()
    with raises(errors.ServiceNotFound, UUID):
        await client().open()
    assert ticks_diff(ticks_ms(), started) >= 100


@scenario
async def test_open_with_none_does_not_wait(kernel):
    steps = []

    async def other():
        steps.append(1)

    task = asyncio.create_task(other())
    with raises(errors.ServiceNotFound):
        await client().open(timeout_ms=None)
    assert not steps
    await task


@scenario
async def test_open_finds_a_provider_that_installs_while_it_waits(kernel):
    opening = asyncio.create_task(client().open(timeout_ms=5000))
    await owners.settle()
    provider = Provider()
    provider.install()
    mine = await opening
    assert await mine.invoke("echo", 5) == 5


@scenario
async def test_a_waiting_open_takes_the_best_of_that_moment(kernel):
    opening = asyncio.create_task(client().open(timeout_ms=5000))
    await owners.settle()
    Provider("worse", priority=ServiceProvider.PRIORITY_UNPREFERRED).install()
    Provider("best", priority=ServiceProvider.PRIORITY_PREFERRED).install()
    Provider("middle").install()
    assert (await opening).name == "best"


@scenario
async def test_a_waiting_open_is_ambiguous_too(kernel):
    opening = asyncio.create_task(client().open(timeout_ms=5000))
    await owners.settle()
    Provider("p").install()
    Provider("q").install()
    with raises(errors.Ambiguous):
        await opening


@scenario
async def test_a_waiting_open_passes_over_what_does_not_fit(kernel):
    opening = asyncio.create_task(client().open(timeout_ms=5000))
    await owners.settle()
    Provider("new", version=(2, 0)).install()
    Provider("other", uuid="other").install()
    await owners.settle()
    assert not opening.done()
    Provider("old").install()
    assert (await opening).name == "old"


@scenario
async def test_several_waiting_opens_all_succeed(kernel):
    opening = [asyncio.create_task(client().open(timeout_ms=5000)) for _ in range(10)]
    await owners.settle()
    Provider().install()
    ids = set()
    for task in opening:
        ids.add((await task).id)
    assert len(ids) == 10


@scenario
async def test_an_open_and_an_install_at_the_same_moment_meet(kernel):
    # In every order of the two tasks and at every distance of up to three steps.
    for gap in range(4):
        for provider_first in (True, False):
            provider = Provider()

            async def install(wait, provider=provider):
                for _ in range(wait):
                    await asyncio.sleep_ms(0)
                provider.install()

            mine = client()

            async def open_(wait, mine=mine):
                for _ in range(wait):
                    await asyncio.sleep_ms(0)
                return await mine.open()

            if provider_first:
                tasks = [install(0), open_(gap)]
            else:
                tasks = [open_(0), install(gap)]
            await asyncio.gather(*tasks)
            assert await mine.invoke("echo", gap) == gap
            provider.uninstall()


@scenario
async def test_if_absent_alone_does_not_wait(kernel):
    task = asyncio.create_task(owners.settle())
    assert await client().open(if_absent="absent") == "absent"
    assert not task.done()


@scenario
async def test_if_absent_none_is_a_value(kernel):
    assert await client().open(if_absent=None) is None


@scenario
async def test_if_absent_function_is_called(kernel):
    assert await client().open(if_absent=lambda: "called") == "called"


@scenario
async def test_if_absent_with_a_timeout_waits_first(kernel):
    started = ticks_ms()
    assert await client().open(timeout_ms=20, if_absent=False) is False
    assert ticks_diff(ticks_ms(), started) >= 20


@scenario
async def test_if_absent_is_not_asked_when_a_provider_comes(kernel):
    opening = asyncio.create_task(client().open(timeout_ms=5000, if_absent=None))
    await owners.settle()
    Provider().install()
    assert (await opening).name == "provider"


@scenario
async def test_if_absent_does_not_cover_a_version_mismatch(kernel):
    Provider(version=(2, 0)).install()
    with raises(errors.VersionMismatch, "2.0"):
        await client().open(if_absent=None)
    started = ticks_ms()
    with raises(errors.VersionMismatch):
        await client().open(timeout_ms=20, if_absent=None)
    assert ticks_diff(ticks_ms(), started) >= 20


@scenario
async def test_if_absent_does_not_cover_ambiguous(kernel):
    Provider("p").install()
    Provider("q").install()
    with raises(errors.Ambiguous):
        await client().open(if_absent=None)


@scenario
async def test_after_absence_the_client_can_be_opened(kernel):
    mine = client()
    assert await mine.open(if_absent=None) is None
    Provider().install()
    await mine.open()


@scenario
async def test_opening_twice_is_already_open(kernel):
    Provider().install()
    mine = await opened()
    with raises(errors.AlreadyOpen):
        await mine.open()
    assert await mine.invoke("echo", 1) == 1


@scenario
async def test_opening_while_opening_is_already_open(kernel):
    mine = client()
    opening = asyncio.create_task(mine.open(timeout_ms=5000))
    await owners.settle()
    with raises(errors.AlreadyOpen):
        await mine.open()
    Provider().install()
    assert await opening is mine


@scenario
async def test_a_closed_client_opens_again_with_a_new_id(kernel):
    Provider().install()
    mine = await opened()
    first = mine.id
    mine.close()
    assert mine.id is None
    await mine.open()
    assert mine.id not in (first, None)
    assert await mine.invoke("echo", 1) == 1


@scenario
async def test_closing_ends_a_waiting_open(kernel):
    mine = client()
    opening = asyncio.create_task(mine.open(timeout_ms=5000))
    await owners.settle()
    mine.close()
    with raises(errors.ClientClosed):
        await opening
    Provider().install()
    await mine.open()


@scenario
async def test_cancelling_ends_a_waiting_open(kernel):
    mine = client()
    opening = asyncio.create_task(mine.open(timeout_ms=5000))
    await owners.settle()
    opening.cancel()
    with raises(asyncio.CancelledError):
        await opening
    Provider().install()
    await mine.open()


@scenario
async def test_a_time_limit_of_the_caller_ends_a_waiting_open(kernel):
    with raises(asyncio.TimeoutError):
        await asyncio.wait_for_ms(client().open(timeout_ms=5000), 10)


@scenario
async def test_the_end_of_its_app_ends_a_waiting_open(kernel):
    app = Owner()
    app.run(client().open(timeout_ms=5000))
    await owners.settle()
    app.end()
    await owners.settle()
    assert not registry.changed._tasks


@scenario
async def test_a_failing_on_opened_is_logged_and_open_succeeds(kernel):
    class Failing(Provider):
        def on_opened(self, client):
            raise ValueError("hook")

    Failing().install()
    mine = await opened()
    assert await mine.invoke("echo", 1) == 1
    assert len(kernel.logged) == 1 and isinstance(kernel.logged[0][1], ValueError)


@scenario
async def test_a_deadly_on_opened_ends_the_provider_and_open_is_service_closed(kernel):
    class Deadly(Provider):
        def on_opened(self, client):
            raise SystemExit(3)

    app = Owner()
    installed(app, kind=Deadly)
    with raises(errors.ServiceClosed):
        await opened()
    assert not app.running


@scenario
async def test_on_opened_runs_as_the_provider_before_open_returns(kernel):
    seen = []

    class Seeing(Provider):
        def on_opened(self, client):
            seen.append((kernel.current, client))

    app = Owner()
    installed(app, kind=Seeing)
    mine = await opened()
    assert seen == [(app, mine.id)]


@scenario
async def test_client_ids_are_unique(kernel):
    Provider().install()
    ids = set()
    for _ in range(50):
        ids.add((await opened()).id)
    assert len(ids) == 50


@scenario
async def test_the_provider_gets_the_clients_id_and_the_callers_gid(kernel):
    class Telling(Provider):
        def handle(self, index, arguments, gid, client):
            return [gid, client]

    installed(Owner(), kind=Telling)
    for user in (Owner(), Owner()):
        mine = await user.run(opened())
        assert await user.run(mine.invoke(0)) == [user.gid, mine.id]


@scenario
async def test_a_call_from_another_app_is_denied(kernel):
    Provider().install()
    app, thief = Owner(), Owner()
    mine = await app.run(opened())
    task = thief.run(mine.invoke("echo", 1))
    await owners.settle()
    assert isinstance(kernel.failures[0][1], errors.Denied)
    assert await app.run(mine.invoke("echo", 2)) == 2
    await task


@scenario
async def test_installing_twice_is_already_installed(kernel):
    provider = Provider()
    provider.install()
    with raises(errors.AlreadyInstalled):
        provider.install()
    assert len(registry.listing()) == 1


@scenario
async def test_reinstalling_works(kernel):
    provider = Provider()
    for n in range(3):
        provider.install()
        mine = await opened()
        assert await mine.invoke("echo", n) == n
        provider.uninstall()


@scenario
async def test_uninstalling_what_is_not_installed_does_nothing(kernel):
    provider = Provider()
    provider.uninstall()
    await provider.uninstall()
    provider.install()
    provider.uninstall()
    provider.uninstall()


@scenario
async def test_provides_after_install_counts_at_the_next_install(kernel):
    provider = Provider()
    provider.install()
    provider.provides(ServiceSelector("late", 1, 0), provider)
    assert await client("late").open(if_absent=None) is None
    provider.uninstall()
    provider.install()
    assert (await opened("late")).name == "provider"


@scenario
async def test_an_explicit_id_is_used(kernel):
    Provider(id=42).install()
    assert [record["id"] for record in registry.listing()] == [42]


@scenario
async def test_an_explicit_id_in_use_refuses_the_install_whole(kernel):
    Provider("p", id=42).install()
    other = Provider("q", uuid="other")
    other.provides(ServiceSelector("third", 1, 0), other, id=42)
    with raises(errors.AlreadyInstalled, "42"):
        other.install()
    assert [record["name"] for record in registry.listing()] == ["p"]
    assert await client("other").open(if_absent=None) is None


@scenario
async def test_services_without_an_explicit_id_are_as_many_as_they_like(kernel):
    for n in range(20):
        Provider(f"p{n}").install()
    assert [record["id"] for record in registry.listing()] == [None] * 20


@scenario
async def test_without_permissions_everything_is_allowed(kernel):
    Provider().install()
    assert (await Owner(permissions=None).run(opened())).name == "provider"


@scenario
async def test_permissions_name_services_by_provider_name_or_uuid(kernel):
    installed(Owner(), "tutorial/p")
    for allowed in (["tutorial/p"], [UUID], ["x", UUID]):
        assert (await Owner(permissions=allowed).run(opened())).name == "tutorial/p"


@scenario
async def test_what_is_not_permitted_is_denied(kernel):
    installed(Owner(), "tutorial/p")
    app = Owner(permissions=["other"])

    async def attempt(**options):
        with raises(errors.Denied, "tutorial/p"):
            await client().open(**options)
        return True

    assert await app.run(attempt())
    assert await app.run(attempt(if_absent=None))
    assert await Owner(permissions=[]).run(attempt())


@scenario
async def test_a_permitted_provider_is_found_beside_a_better_one_that_is_not(kernel):
    installed(Owner(), "better", priority=0xFF)
    installed(Owner(), "permitted")
    assert (await Owner(permissions=["permitted"]).run(opened())).name == "permitted"


@scenario
async def test_an_app_may_open_its_own_service(kernel):
    app = Owner(permissions=[])
    installed(app)
    assert (await app.run(opened())).name == "provider"


@scenario
async def test_a_restricted_selector_opens(kernel):
    Provider("p").install()
    Provider("q").install()
    mine = await ServiceClient(SELECTOR.restrict().allow(name="q")).open()
    assert mine.name == "q"


@scenario
async def test_an_unknown_overflow_policy_is_refused(kernel):
    with raises(ValueError, "panic"):
        ServiceClient(SELECTOR, overflow="panic")
    with raises(ValueError, "queue=0"):
        ServiceClient(SELECTOR, queue=0)


@scenario
async def test_what_a_client_learns_of_its_provider_is_a_copy(kernel):
    provider = installed(Owner())
    provider.patch = ["the provider's own"]
    mine = await opened()
    mine.patch.append("the client's")
    assert provider.patch == ["the provider's own"]
    mine.close()
    provider.patch = object()
    with raises(errors.NotSerializable, "provider[3]: object"):
        await opened()


@scenario
async def test_who_waits_to_reconnect_is_told_so(kernel):
    provider = installed(Owner())
    mine = await opened(reconnect=True)
    provider.uninstall()
    await owners.settle()
    with raises(errors.ServiceClosed, "its provider is gone, wait for it"):
        await mine.invoke("echo", 1)
    with raises(errors.AlreadyOpen, "it is open or opens, close() it"):
        await mine.open()
    mine.close()
