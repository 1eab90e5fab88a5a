# Notifications: order, bounds, what is kept, when they are delivered, and what they cost.
import asyncio
from time import ticks_diff, ticks_ms

import owners
from harness import raises
from kodkod import errors
from kodkod.services import ServiceResourceProxy
from owners import Owner, Provider, Proxy, Resource, client, installed, opened, proxy, scenario


async def pair(**options):
    """A provider in an app of its own, a client of it, a proxy, and its resource."""
    provider = installed(Owner(), kind=options.pop("kind", Provider))
    mine = await opened(**options)
    held = await proxy(mine)
    return provider, mine, held, provider.resource(mine.id, held.handle)


def notify(resource, *values, **options):
    """Notifies as the provider's app."""
    for value in values:
        owners._k.kernel.call(resource.provider.owner_, lambda: resource.notify(value, **options))


@scenario
async def test_notifications_come_in_order(kernel):
    provider, mine, held, resource = await pair()
    notify(resource, *range(50))
    assert held.got == []
    await owners.settle()
    assert held.got == list(range(50))


@scenario
async def test_on_notified_never_runs_inside_notify(kernel):
    provider, mine, held, resource = await pair()
    for n in range(3):
        notify(resource, n)
        assert len(held.got) == 0
    await owners.settle()


@scenario
async def test_on_notified_runs_in_a_task_of_the_clients_app(kernel):
    seen = []

    class Seeing(ServiceResourceProxy):
        def on_notified(self, value):
            seen.append((kernel.current, asyncio.current_task()))

    provider = installed(Owner())
    mine = await opened()
    held = Seeing(mine, await mine.invoke("open", "r"))
    resource = provider.resource(mine.id, held.handle)
    notify(resource, 1, 2)
    await owners.settle()
    notify(resource, 3)
    await owners.settle()
    assert [owner for owner, _ in seen] == [kernel.current] * 3
    assert len({id(task) for _, task in seen}) == 1
    assert seen[0][1] is not asyncio.current_task()
    assert len(kernel.background) == 1


@scenario
async def test_the_delivering_task_is_in_the_background(kernel):
    provider, mine, held, resource = await pair()
    notify(resource, 1)
    await owners.settle()
    assert [steps.owner for steps in kernel.background] == [kernel.current]


@scenario
async def test_a_value_is_copied_when_it_is_sent(kernel):
    provider, mine, held, resource = await pair()
    value = [1]
    notify(resource, value)
    value.append(2)
    await owners.settle()
    assert held.got == [[1]]


@scenario
async def test_a_value_that_may_not_cross_raises_in_notify_and_changes_nothing(kernel):
    provider, mine, held, resource = await pair()
    with raises(errors.NotSerializable, "notification: object"):
        notify(resource, object(), close=True)
    with raises(errors.TooLarge, "notification: over"):
        notify(resource, "x" * 9000)
    assert not resource.is_closed
    notify(resource, 1)
    await owners.settle()
    assert held.got == [1]


@scenario
async def test_a_notification_larger_than_the_queue_is_too_large(kernel):
    provider, mine, held, resource = await pair()
    with raises(errors.TooLarge, "4096"):
        notify(resource, "x" * 5000)
    notify(resource, "x" * 4000)
    await owners.settle()
    assert held.got == ["x" * 4000]


@scenario
async def test_only_notifiable_resources_notify(kernel):
    class Silent(Provider):
        def on_open(self, arguments, client):
            return Resource(self, client, arguments, notifiable=False)

    provider, mine, held, resource = await pair(kind=Silent)
    with raises(errors.NotNotifiable):
        notify(resource, 1)


@scenario
async def test_notify_on_a_closed_resource_is_resource_closed(kernel):
    provider, mine, held, resource = await pair()
    held.close()
    with raises(errors.ResourceClosed):
        notify(resource, 1)


@scenario
async def test_what_a_handler_sent_is_delivered_before_its_invoke_returns(kernel):
    provider, mine, held, resource = await pair()
    for n in range(5):
        await mine.invoke("notify", [held, [n, -n]])
        assert held.got[-2:] == [n, -n]
    assert len(held.got) == 10


@scenario
async def test_what_an_async_handler_sent_is_delivered_before_its_invoke_returns(kernel):
    class Later(Provider):
        async def on_notify_later(self, arguments, client):
            handle, values = arguments
            for value in values:
                self.resource(client, handle).notify(value)
                await asyncio.sleep_ms(0)
            self.resource(client, handle).notify("last")

    provider, mine, held, resource = await pair(kind=Later)
    await mine.invoke("notify_later", [held, [1, 2]])
    assert held.got == [1, 2, "last"]


@scenario
async def test_an_async_on_notified_has_started_before_invoke_returns(kernel):
    events = []

    class Slow(ServiceResourceProxy):
        async def on_notified(self, value):
            events.append(f"start {value}")
            await asyncio.sleep_ms(20)
            events.append(f"end {value}")

    installed(Owner())
    mine = await opened()
    held = Slow(mine, await mine.invoke("open", "r"))
    await mine.invoke("notify", [held, [1]])
    assert events == ["start 1"]
    await mine.invoke("notify", [held, [2]])
    assert events == ["start 1", "end 1", "start 2"]
    await asyncio.sleep_ms(40)


@scenario
async def test_bodies_do_not_overlap_even_when_async(kernel):
    inside = [0, 0]
    got = []

    class Slow(ServiceResourceProxy):
        async def on_notified(self, value):
            inside[0] += 1
            inside[1] = max(inside)
            await asyncio.sleep_ms(1)
            got.append(value)
            inside[0] -= 1

    provider = installed(Owner())
    mine = await opened()
    held = Slow(mine, await mine.invoke("open", "r"))
    second = Slow(mine, await mine.invoke("open", "r"))
    for n in range(4):
        notify(provider.resource(mine.id, held.handle), n)
        notify(provider.resource(mine.id, second.handle), n)
    while len(got) < 8:
        await asyncio.sleep_ms(1)
    assert inside[1] == 1
    assert got == [0, 0, 1, 1, 2, 2, 3, 3]


@scenario
async def test_on_notified_may_call_its_own_client(kernel):
    answers = []

    class Calling(ServiceResourceProxy):
        def __init__(self, client, handle):
            super().__init__(client, handle)
            self.client = client

        async def on_notified(self, value):
            if value < 3:
                await self.client.invoke("notify", [self, [value + 1]])
            answers.append(value)

    installed(Owner())
    mine = await opened()
    held = Calling(mine, await mine.invoke("open", "r"))
    await mine.invoke("notify", [held, [0]])
    await owners.settle(20)
    assert answers == [0, 1, 2, 3]


@scenario
async def test_on_notified_may_wait_for_tasks_that_call_its_own_client(kernel):
    answers = []

    class Calling(ServiceResourceProxy):
        async def on_notified(self, value):
            if value % 2:
                call = asyncio.wait_for(self.client_.invoke("echo", value), 1)
            else:
                call = asyncio.gather(self.client_.invoke("echo", value))
            answers.append(await call)

    installed(Owner())
    mine = await opened()
    held = Calling(mine, await mine.invoke("open", "r"))
    before = ticks_ms()
    await mine.invoke("notify", [held, [1, 2, 3]])
    await owners.settle(20)
    assert answers == [1, [2], 3]
    assert ticks_diff(ticks_ms(), before) < 1000


@scenario
async def test_an_exception_in_on_notified_is_logged_and_the_next_one_is_delivered(kernel):
    class Failing(Proxy):
        def on_notified(self, value):
            super().on_notified(value)
            if value == 1:
                raise ValueError("one")

    class FailingLater(Failing):
        async def on_notified(self, value):
            await asyncio.sleep_ms(0)
            Failing.on_notified(self, value)

    provider = installed(Owner())
    mine = await opened()
    for kind in (Failing, FailingLater):
        held = kind(mine, await mine.invoke("open", "r"))
        notify(provider.resource(mine.id, held.handle), 0, 1, 2)
        await owners.settle(20)
        assert held.got == [0, 1, 2]
        owner, exc, _ = kernel.logged.pop()
        assert isinstance(exc, ValueError) and owner is kernel.current
    assert kernel.current.running and not kernel.logged


@scenario
async def test_a_cancelled_wait_in_on_notified_stops_no_delivery(kernel):
    class Waiting(Proxy):
        async def on_notified(self, value):
            self.got.append(value)
            if value == 1:
                await asyncio.sleep_ms(0)
                raise asyncio.CancelledError

    provider = installed(Owner())
    mine = await opened()
    held = Waiting(mine, await mine.invoke("open", "r"))
    notify(provider.resource(mine.id, held.handle), 0, 1, 2)
    await owners.settle(20)
    assert held.got == [0, 1, 2] and kernel.current.running
    assert len(kernel.logged) == 1


@scenario
async def test_what_was_sent_before_the_proxy_exists_is_kept_in_order(kernel):
    class Eager(Provider):
        def on_open(self, arguments, client):
            resource = super().on_open(arguments, client)
            for n in range(5):
                resource.notify(n)
            return resource

    provider = installed(Owner(), kind=Eager)
    mine = await opened()
    handle = await mine.invoke("open", "r")
    notify(provider.resource(mine.id, handle), 5)
    await owners.settle()
    held = Proxy(mine, handle)
    notify(provider.resource(mine.id, handle), 6)
    await owners.settle()
    assert held.got == [0, 1, 2, 3, 4, 5, 6]


@scenario
async def test_a_resource_closed_before_its_proxy_exists_still_tells_all(kernel):
    class Brief(Provider):
        def on_open(self, arguments, client):
            resource = super().on_open(arguments, client)
            resource.notify("only", close=True)
            return resource

    installed(Owner(), kind=Brief)
    mine = await opened()
    held = Proxy(mine, await mine.invoke("open", "r"))
    await owners.settle()
    assert held.got == ["only", ("closed", "resource")]
    assert held.is_closed


@scenario
async def test_what_is_kept_without_a_proxy_is_bounded(kernel):
    class Eager(Provider):
        def on_open(self, arguments, client):
            resource = super().on_open(arguments, client)
            for n in range(arguments):
                resource.notify(n)
            return resource

    installed(Owner(), kind=Eager)
    mine = await opened()
    held = Proxy(mine, await mine.invoke("open", 100))
    await owners.settle()
    assert held.got == list(range(36, 100)) and held.dropped == 36


@scenario
async def test_what_closed_resources_sent_without_a_proxy_is_bounded_and_counted(kernel):
    class Brief(Provider):
        def on_open(self, arguments, client):
            resource = super().on_open(arguments, client)
            resource.notify("only", close=True)
            return resource

    installed(Owner(), kind=Brief)
    mine = await opened()
    handles = []
    for _ in range(40):
        handles.append(await mine.invoke("open", "r"))
    assert len(mine.inboxes_) == 16
    held = Proxy(mine, handles[-1])
    lost = Proxy(mine, handles[0])
    await owners.settle()
    assert held.got == ["only", ("closed", "resource")]
    assert lost.got == [("closed", "resource")]
    assert mine.dropped == 24 and lost.dropped == 0


@scenario
async def test_the_queue_holds_64_and_drops_the_oldest(kernel):
    provider, mine, held, resource = await pair()
    notify(resource, *range(64))
    assert held.dropped == 0
    notify(resource, *range(64, 100))
    assert held.dropped == 36
    await owners.settle()
    assert held.got == list(range(36, 100))


@scenario
async def test_drop_newest_keeps_what_is_queued(kernel):
    provider, mine, held, resource = await pair(overflow="drop_newest")
    notify(resource, *range(100))
    await owners.settle()
    assert held.got == list(range(64)) and held.dropped == 36


@scenario
async def test_overflow_close_closes_resource_and_proxy(kernel):
    provider, mine, held, resource = await pair(overflow="close")
    notify(resource, *range(65))
    assert resource.is_closed
    assert provider.events == ["opened", "resource closed"]
    with raises(errors.ResourceClosed):
        notify(resource, 66)
    await owners.settle()
    assert held.got == list(range(64)) + [("closed", "closed")]
    assert held.dropped == 1 and held.is_closed


@scenario
async def test_the_clients_queue_option_bounds_each_proxy(kernel):
    provider, mine, held, resource = await pair(queue=3)
    other = await proxy(mine)
    notify(resource, *range(5))
    notify(provider.resource(mine.id, other.handle), *range(4))
    await owners.settle()
    assert held.got == [2, 3, 4] and held.dropped == 2
    assert other.got == [1, 2, 3] and other.dropped == 1


@scenario
async def test_the_queue_holds_4_kb(kernel):
    for kind in (str, bytes, list):
        provider, mine, held, resource = await pair()
        if kind is list:
            values = [["x" * 995, n] for n in range(10)]
        elif kind is bytes:
            values = [b"x" * 1000 for n in range(10)]
        else:
            values = ["x" * 1000 for n in range(10)]
        notify(resource, *values)
        assert held.dropped == 6, held.dropped
        await owners.settle()
        assert held.got == values[6:]
        provider.uninstall()


@scenario
async def test_a_large_one_drops_as_many_as_it_needs_and_closing_is_told_once(kernel):
    provider, mine, held, resource = await pair()
    notify(resource, *range(20))
    notify(resource, "x" * 4050)
    dropped = held.dropped
    assert dropped > 1
    notify(resource, "y", close=True)
    await owners.settle()
    assert held.got[-1] == ("closed", "resource")
    assert held.got.count(("closed", "resource")) == 1
    assert len(held.got) - 1 + held.dropped == 22


@scenario
async def test_text_counts_by_its_bytes(kernel):
    provider, mine, held, resource = await pair()
    notify(resource, *["ä" * 500] * 10)
    assert held.dropped == 6


@scenario
async def test_after_delivery_the_queue_is_empty_again(kernel):
    provider, mine, held, resource = await pair()
    for _ in range(5):
        notify(resource, *["x" * 1000] * 4)
        await owners.settle()
    assert len(held.got) == 20 and held.dropped == 0
    assert held.bytes_ == 0 and not mine.queue_


@scenario
async def test_the_sender_is_never_blocked_and_everything_is_counted(kernel):
    provider, mine, held, resource = await pair()
    count = 10000
    notify(resource, *range(count))
    await owners.settle()
    assert len(held.got) + held.dropped == count
    assert held.got == list(range(count - 64, count))


@scenario
async def test_ten_thousand_under_the_bound_are_all_delivered(kernel):
    provider, mine, held, resource = await pair()
    for start in range(0, 10000, 50):
        notify(resource, *range(start, start + 50))
        await asyncio.sleep_ms(0)
        await asyncio.sleep_ms(0)
    await owners.settle()
    assert held.got == list(range(10000)) and held.dropped == 0


@scenario
async def test_cost_does_not_grow_with_the_backlog(kernel):
    # Counted, not timed: allocation per notification, which is where a growing cost would show.
    import gc

    provider, mine, held, resource = await pair()
    costs = []
    for backlog in (1, 8, 32, 64):
        notify(resource, *range(backlog))
        gc.collect()
        gc.disable()
        before = gc.mem_alloc()
        for _ in range(20):
            resource.notify(1)
        costs.append(gc.mem_alloc() - before)
        gc.enable()
        await owners.settle()
    assert max(costs) - min(costs) < 3000, costs


@scenario
async def test_two_proxies_of_a_client_are_served_in_the_order_of_sending(kernel):
    log = []

    class Logging(ServiceResourceProxy):
        def on_notified(self, value):
            log.append(value)

    provider = installed(Owner())
    mine = await opened()
    resources = []
    for _ in range(2):
        held = Logging(mine, await mine.invoke("open", "r"))
        resources.append(provider.resource(mine.id, held.handle))
    for n in range(10):
        notify(resources[n % 2], n)
    await owners.settle()
    assert log == list(range(10))


@scenario
async def test_a_flooded_proxy_leaves_room_for_the_others(kernel):
    provider, mine, held, resource = await pair()
    other = await proxy(mine)
    notify(resource, *range(500))
    notify(provider.resource(mine.id, other.handle), "heard")
    await owners.settle()
    assert other.got == ["heard"]


@scenario
async def test_a_long_backlog_is_delivered_in_short_steps(kernel):
    from time import sleep_ms

    class Working(Proxy):
        def on_notified(self, value):
            sleep_ms(2)
            super().on_notified(value)

    provider = installed(Owner())
    mine = await opened()
    held = Working(mine, await mine.invoke("open", "r"))
    notify(provider.resource(mine.id, held.handle), *range(60))
    steps = []
    while len(held.got) < 60:
        await asyncio.sleep_ms(0)
        steps.append(len(held.got))
    assert len(steps) > 4, steps


@scenario
async def test_close_true_delivers_the_value_then_closes(kernel):
    provider, mine, held, resource = await pair()
    notify(resource, "last", close=True)
    assert resource.is_closed
    assert provider.events == ["opened", "resource closed"]
    await owners.settle()
    assert held.got == ["last", ("closed", "resource")]


@scenario
async def test_a_deadly_on_notified_ends_the_clients_app_only(kernel):
    class Deadly(ServiceResourceProxy):
        def on_notified(self, value):
            raise SystemExit(1)

    provider = installed(Owner())
    app = Owner()
    mine = await app.run(opened())
    held = Deadly(mine, await app.run(mine.invoke("open", "r")))
    resource = provider.resource(mine.id, held.handle)
    notify(resource, 1)
    await owners.settle()
    assert not app.running and provider.owner_.running
    assert resource.is_closed
    assert provider.events == ["opened", "r closed", "client closed"]


@scenario
async def test_a_proxy_needs_an_open_client(kernel):
    with raises(errors.ClientClosed):
        Proxy(client(), 3)


@scenario
async def test_a_proxy_of_a_handle_that_is_none_of_the_clients_is_told_so(kernel):
    provider, mine, held, resource = await pair()
    wrong = Proxy(mine, held.handle + 4)
    assert not wrong.got
    await owners.settle()
    assert wrong.got == [("closed", "resource")] and wrong.is_closed


@scenario
async def test_the_default_on_notified_and_on_closed_do_nothing(kernel):
    provider = installed(Owner())
    mine = await opened()
    held = ServiceResourceProxy(mine, await mine.invoke("open", "r"))
    notify(provider.resource(mine.id, held.handle), 1)
    await owners.settle()
    held.close()
    assert held.is_closed and not kernel.logged
