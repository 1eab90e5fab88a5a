# Calls: what a handler may be, limits of time and number, cancellation, and what crosses.
import asyncio
from time import ticks_diff, ticks_ms

import owners
from harness import raises
from kodkod import errors
from owners import Owner, Provider, Proxy, installed, opened, proxy, scenario


class Odd(Provider):
    """Handlers that end in every way that is not a plain answer."""

    def on_raise(self, arguments, client):
        raise ValueError(arguments)

    async def on_raise_later(self, arguments, client):
        await asyncio.sleep_ms(0)
        raise ValueError(arguments)

    def on_typed(self, arguments, client):
        raise getattr(errors, arguments)(f"said by {arguments}")

    async def on_typed_later(self, arguments, client):
        raise getattr(errors, arguments)(f"said by {arguments}")

    def on_exit(self, arguments, client):
        raise SystemExit(arguments)

    async def on_exit_later(self, arguments, client):
        await asyncio.sleep_ms(0)
        raise SystemExit(arguments)

    def on_interrupt(self, arguments, client):
        raise KeyboardInterrupt

    def on_memory(self, arguments, client):
        raise MemoryError

    async def on_memory_later(self, arguments, client):
        raise MemoryError

    def on_object(self, arguments, client):
        return {"pins": [1, object()]}

    async def on_object_later(self, arguments, client):
        return object()

    def on_iterator(self, arguments, client):
        return map(str, arguments)

    def on_big(self, arguments, client):
        return "x" * 9000

    def on_unknown(self, arguments, client):
        raise errors.UnknownMethod(77)

    def on_awaitable(self, arguments, client):
        return self.on_later(arguments, client)

    def on_task(self, arguments, client):
        return asyncio.create_task(self.on_later(arguments, client))

    async def on_cancel_self(self, arguments, client):
        me = asyncio.current_task()

        async def cancel():
            me.cancel()

        asyncio.create_task(cancel())
        await asyncio.sleep_ms(10000)

    async def on_hold(self, arguments, client):
        self.events.append("started")
        await self.gate.wait()

    async def on_stubborn(self, arguments, client):
        while not self.gate.is_set():
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.events.append("ignored")

    def on_current(self, arguments, client):
        return owners._k.kernel.current.gid

    async def on_current_later(self, arguments, client):
        await asyncio.sleep_ms(0)
        return owners._k.kernel.current.gid


async def odd(**options):
    """An app that provides Odd, and a client of it."""
    app = Owner()
    provider = installed(app, kind=Odd, **options)
    provider.gate = asyncio.Event()
    return app, provider, await opened()


@scenario
async def test_a_sync_handler_answers_without_a_task_switch(kernel):
    app, provider, mine = await odd()
    steps = []

    async def other():
        steps.append(1)

    task = asyncio.create_task(other())
    for n in range(10):
        assert await mine.invoke("echo", n) == n
    assert not steps
    await task


@scenario
async def test_arguments_may_be_left_out(kernel):
    app, provider, mine = await odd()
    assert await mine.invoke("echo") is None


@scenario
async def test_an_async_handler_answers(kernel):
    app, provider, mine = await odd()
    assert await mine.invoke("later", [1, 2]) == [1, 2]


@scenario
async def test_a_handler_may_return_an_awaitable(kernel):
    app, provider, mine = await odd()
    assert await mine.invoke("awaitable", 3) == 3
    assert await mine.invoke("task", 4) == 4


@scenario
async def test_handle_itself_may_be_async(kernel):
    class Async(Provider):
        async def handle(self, index, arguments, gid, client):
            await asyncio.sleep_ms(0)
            return [index, arguments, gid == 1, client]

    installed(Owner(), kind=Async)
    mine = await opened()
    assert await mine.invoke(7, "a") == [7, "a", True, mine.id]


@scenario
async def test_a_handler_runs_as_the_providers_app(kernel):
    app, provider, mine = await odd()
    me = kernel.current
    assert await mine.invoke("current") == app.gid
    assert await mine.invoke("current_later") == app.gid
    assert kernel.current is me


@scenario
async def test_calls_of_one_client_overlap(kernel):
    app, provider, mine = await odd()
    await asyncio.gather(*[mine.invoke("sleep", 30) for _ in range(8)])
    assert provider.events == ["opened"] + ["started"] * 8 + ["finished"] * 8


@scenario
async def test_answers_come_in_the_order_in_which_handlers_end(kernel):
    app, provider, mine = await odd()
    answers = []

    async def call(ms):
        await mine.invoke("sleep", ms)
        answers.append(ms)

    await asyncio.gather(call(150), call(50), call(100))
    assert answers == [50, 100, 150]


@scenario
async def test_the_default_time_limit_is_ten_seconds(kernel):

    app, provider, mine = await odd()
    limits = []

    async def invoke_and_look():
        await mine.invoke("sleep", 20000)

    task = asyncio.create_task(invoke_and_look())
    await owners.settle()
    # The caller sleeps in the queue until its limit: the handler's own sleep is longer.
    limits = ticks_diff(task.ph_key, ticks_ms())
    assert 9000 < limits <= 10000, limits
    task.cancel()
    with raises(asyncio.CancelledError):
        await task


@scenario
async def test_a_call_of_ones_own_limit_times_out_and_cancels_the_handler(kernel):
    app, provider, mine = await odd()
    with raises(errors.CallTimeout, "20 ms"):
        await mine.invoke("sleep", 5000, timeout_ms=20)
    await owners.settle()
    assert provider.events == ["opened", "started", "cancelled"]
    assert await mine.invoke("echo", 1) == 1


@scenario
async def test_timeout_none_sets_no_limit(kernel):
    app, provider, mine = await odd()
    assert await mine.invoke("sleep", 20, timeout_ms=None) == "slept"
    task = asyncio.create_task(mine.invoke("sleep", 100000000, timeout_ms=None))
    await owners.settle()
    assert ticks_diff(task.ph_key, ticks_ms()) > 24 * 3600 * 1000
    task.cancel()
    with raises(asyncio.CancelledError):
        await task


@scenario
async def test_a_limit_of_zero_answers_sync_handlers_only(kernel):
    app, provider, mine = await odd()
    assert await mine.invoke("echo", 1, timeout_ms=0) == 1
    with raises(errors.CallTimeout):
        await mine.invoke("later", 1, timeout_ms=0)
    await owners.settle()
    assert provider.running_ == 0


@scenario
async def test_the_callers_cancellation_stays_cancelled_error_and_cancels_the_handler(kernel):
    app, provider, mine = await odd()
    task = asyncio.create_task(mine.invoke("sleep", 5000))
    await owners.settle()
    task.cancel()
    with raises(asyncio.CancelledError):
        await task
    await owners.settle()
    assert provider.events == ["opened", "started", "cancelled"]
    assert await mine.invoke("echo", 1) == 1


@scenario
async def test_the_callers_own_wait_for_stays_timeout_error(kernel):
    app, provider, mine = await odd()
    with raises(asyncio.TimeoutError):
        await asyncio.wait_for_ms(mine.invoke("sleep", 5000), 10)
    await owners.settle()
    assert provider.events[-1] == "cancelled"


@scenario
async def test_a_call_that_ends_before_its_handler_started_never_runs_it(kernel):
    app, provider, mine = await odd()
    with raises(errors.CallTimeout):
        await mine.invoke("sleep", 1, timeout_ms=0)
    await owners.settle()
    assert provider.events == ["opened"]
    assert provider.running_ == 0 and not mine.session_.calls


@scenario
async def test_a_handler_cancelled_by_its_provider_is_a_remote_error(kernel):
    app, provider, mine = await odd()
    with raises(errors.RemoteError) as caught:
        await mine.invoke("cancel_self")
    assert caught.value.type == "CancelledError"
    assert app.running


@scenario
async def test_a_handler_that_ignores_its_cancellation_holds_its_place_only(kernel):
    app, provider, mine = await odd()
    with raises(errors.CallTimeout):
        await mine.invoke("stubborn", timeout_ms=5)
    await owners.settle()
    assert provider.running_ == 1 and len(mine.session_.calls) == 1
    assert provider.events[-1] == "ignored"
    assert await mine.invoke("echo", 1) == 1
    provider.gate.set()
    await owners.settle()
    assert provider.running_ == 0 and not mine.session_.calls


@scenario
async def test_sixteen_calls_of_a_client_pend_and_the_next_is_busy(kernel):
    app, provider, mine = await odd()
    tasks = [asyncio.create_task(mine.invoke("sleep", 5000)) for _ in range(16)]
    await owners.settle()
    for name in ("sleep", "echo"):
        with raises(errors.Busy, "16"):
            await mine.invoke(name, 1)
    other = await opened()
    assert await other.invoke("echo", 2) == 2
    tasks.pop().cancel()
    await owners.settle()
    assert await mine.invoke("echo", 3) == 3
    mine.close()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(result, errors.ClientClosed)


async def _full(count=4):
    """A provider of which 64 handlers run, in `count` clients with 16 calls each."""
    app, provider, first = await odd()
    clients = [first]
    tasks = []

    async def call(client):
        try:
            return await client.invoke("hold")
        except errors.KodkodError as e:
            return e

    for _ in range(count - 1):
        clients.append(await opened())
    for client in clients:
        tasks += [asyncio.create_task(call(client)) for _ in range(16)]
    await owners.settle()
    return provider, clients, tasks


@scenario
async def test_sixty_four_handlers_run_and_the_next_call_waits(kernel):
    provider, clients, tasks = await _full()
    assert provider.events.count("started") == 64
    mine = await opened()
    answered = []

    async def call():
        answered.append(await mine.invoke("echo", 1))

    late = asyncio.create_task(call())
    await owners.settle()
    assert not answered and provider.running_ == 64
    provider.gate.set()
    await asyncio.gather(late, *tasks)
    assert answered == [1]
    assert provider.running_ == 0 and not provider.turns_


@scenario
async def test_a_full_service_does_not_starve_the_others_of_its_app(kernel):
    provider, clients, tasks = await _full()
    installed(provider.owner_, "other", uuid="other")
    mine = await opened("other")
    assert await mine.invoke("echo", 1) == 1
    assert await mine.invoke("later", 2) == 2
    assert provider.running_ == 64
    provider.gate.set()
    await asyncio.gather(*tasks)


@scenario
async def test_waiting_calls_get_their_turn_fairly_by_client(kernel):
    provider, clients, tasks = await _full()
    greedy, modest = await opened(), await opened()
    order = []

    async def call(client, label):
        await client.invoke("hold")
        order.append(label)

    late = [asyncio.create_task(call(greedy, "greedy")) for _ in range(10)]
    await owners.settle()
    late += [asyncio.create_task(call(modest, "modest")) for _ in range(2)]
    await owners.settle()
    assert [session.client for session in provider.turns_] == [greedy, modest]
    for call_ in clients[0].session_.calls[:4]:
        call_.task.cancel()
    await owners.settle(20)
    waiting = [c for c in greedy.session_.calls if c.task is None]
    assert len(waiting) == 8, len(waiting)
    assert not [c for c in modest.session_.calls if c.task is None]
    provider.gate.set()
    await asyncio.gather(*(late + tasks))


@scenario
async def test_a_waiting_call_times_out_without_ever_running(kernel):
    provider, clients, tasks = await _full()
    mine = await opened()
    with raises(errors.CallTimeout):
        await mine.invoke("sleep", 1, timeout_ms=5)
    assert not provider.turns_ and not mine.session_.calls
    provider.gate.set()
    await asyncio.gather(*tasks)
    await owners.settle()
    assert provider.events.count("started") == 64


@scenario
async def test_a_waiting_call_can_be_cancelled(kernel):
    provider, clients, tasks = await _full()
    mine = await opened()
    late = asyncio.create_task(mine.invoke("echo", 1))
    kept = asyncio.create_task(mine.invoke("echo", 2))
    await owners.settle()
    late.cancel()
    with raises(asyncio.CancelledError):
        await late
    assert len(mine.session_.calls) == 1
    provider.gate.set()
    assert await kept == 2
    await asyncio.gather(*tasks)


@scenario
async def test_a_waiting_call_ends_with_the_provider(kernel):
    provider, clients, tasks = await _full()
    mine = await opened()
    late = asyncio.create_task(mine.invoke("echo", 1))
    await owners.settle()
    provider.uninstall()
    results = await asyncio.gather(late, *tasks, return_exceptions=True)
    assert len(results) == 65
    for result in results:
        assert isinstance(result, errors.ServiceClosed)
    await owners.settle()
    assert provider.running_ == 0 and not provider.turns_


@scenario
async def test_an_exception_of_a_handler_is_a_remote_error_with_type_message_and_traceback(kernel):
    app, provider, mine = await odd()
    for name in ("raise", "raise_later"):
        with raises(errors.RemoteError, "no pin 7") as caught:
            await mine.invoke(name, "no pin 7")
        assert caught.value.type == "ValueError"
        assert "test_services_call.py" in caught.value.traceback
        assert f"on_{name}" in caught.value.traceback
    assert app.running
    assert await mine.invoke("echo", 1) == 1


@scenario
async def test_every_typed_error_arrives_as_the_same_class(kernel):
    app, provider, mine = await odd()
    names = [n for n in errors._NAMES.split() if n not in ("KodkodError", "RemoteError")]
    assert len(names) == 22
    for name in names:
        for how in ("typed", "typed_later"):
            with raises(getattr(errors, name), f"said by {name}") as caught:
                await mine.invoke(how, name)
            assert type(caught.value) is getattr(errors, name)


@scenario
async def test_an_unknown_method_arrives_as_unknown_method(kernel):
    app, provider, mine = await odd()
    with raises(errors.UnknownMethod, "77"):
        await mine.invoke("unknown")


@scenario
async def test_the_exception_that_arrives_is_not_the_providers_own(kernel):
    kept = []

    class Keeping(Provider):
        def handle(self, index, arguments, gid, client):
            kept.append(errors.Denied("mine"))
            raise kept[0]

    installed(Owner(), kind=Keeping)
    mine = await opened()
    with raises(errors.Denied, "mine") as caught:
        await mine.invoke(0)
    assert caught.value is not kept[0]


@scenario
async def test_a_handler_that_exits_ends_its_app_and_the_caller_gets_service_closed(kernel):
    for name in ("exit", "exit_later", "interrupt", "memory", "memory_later"):
        app, provider, mine = await odd()
        with raises(errors.ServiceClosed):
            await mine.invoke(name, 3)
        assert not app.running, name
        with raises(errors.ServiceClosed):
            await mine.invoke("echo", 1)


@scenario
async def test_a_value_that_may_not_cross_is_refused_at_the_caller(kernel):
    app, provider, mine = await odd()
    with raises(errors.NotSerializable, "arguments[2]['pin']: object"):
        await mine.invoke("echo", [1, 2, {"pin": object()}])
    with raises(errors.NotSerializable, "arguments: int beyond 64 bits"):
        await mine.invoke("echo", 1 << 64)
    with raises(errors.TooLarge, "arguments: over 8192 bytes"):
        await mine.invoke("echo", "x" * 9000)
    assert await mine.invoke("echo", 1) == 1


@scenario
async def test_an_answer_that_may_not_cross_is_a_typed_error_and_nobody_dies(kernel):
    app, provider, mine = await odd()
    with raises(errors.NotSerializable, "result['pins'][1]: object"):
        await mine.invoke("object")
    with raises(errors.NotSerializable, "result: object"):
        await mine.invoke("object_later")
    with raises(errors.TooLarge, "result: over"):
        await mine.invoke("big")
    assert app.running
    assert await mine.invoke("echo", 1) == 1


@scenario
async def test_an_iterator_is_no_answer_and_holds_no_place(kernel):
    app, provider, mine = await odd()
    for values in ([], [1, 2]):
        with raises(errors.NotSerializable, "result: map"):
            await mine.invoke("iterator", values)
    assert provider.running_ == 0
    assert await mine.invoke("echo", 1) == 1


@scenario
async def test_plain_values_arrive_equal(kernel):
    app, provider, mine = await odd()
    values = (None, True, False, 0, -1, 1 << 29, -(1 << 30), (1 << 63) - 1, -(1 << 63), 1.5)
    values += ("", "text", "ä€", b"", b"\x00\xff", [], [1, [2, [3]]], {}, {"a": {1: b"x"}})
    for value in values:
        for name in ("echo", "later"):
            got = await mine.invoke(name, value)
            assert got == value and type(got) is type(value), value


@scenario
async def test_mutable_values_are_copied_both_ways(kernel):
    class Keeping(Provider):
        def on_keep(self, arguments, client):
            self.kept = arguments
            return arguments

    provider = installed(Owner(), kind=Keeping)
    mine = await opened()
    sent = [1, {"a": [2]}]
    got = await mine.invoke("keep", sent)
    sent[1]["a"].append("sender")
    got[1]["a"].append("receiver")
    assert provider.kept == [1, {"a": [2]}]
    got.append("growable")
    assert await mine.invoke("echo", (1, bytearray(b"x"))) == [1, b"x"]


@scenario
async def test_a_resource_crosses_as_its_handle_at_any_depth(kernel):
    class Deep(Provider):
        def on_deep(self, arguments, client):
            self.made = owners.Resource(self, client)
            return {"here": [self.made]}

    provider = installed(Owner(), kind=Deep)
    mine = await opened()
    answer = await mine.invoke("deep")
    handle = answer["here"][0]
    assert type(handle) is int and handle & 1
    assert provider.resource(mine.id, handle) is provider.made


@scenario
async def test_a_proxy_crosses_as_its_handle(kernel):
    app, provider, mine = await odd()
    held = await proxy(mine)
    assert await mine.invoke("echo", [held, {"deep": held}]) == [
        held.handle,
        {"deep": held.handle},
    ]


@scenario
async def test_handles_are_a_counter_and_the_notifiable_bit(kernel):
    class Both(Provider):
        def on_make(self, arguments, client):
            return owners.Resource(self, client, notifiable=arguments)

    installed(Owner(), kind=Both)
    mine, other = await opened(), await opened()
    handles = []
    for client in (mine, other, mine):
        handles.append(await client.invoke("make", True))
        handles.append(await client.invoke("make", False))
    assert [handle & 1 for handle in handles] == [1, 0] * 3
    counters = [handle >> 1 for handle in handles]
    assert counters == list(range(counters[0], counters[0] + 6))


@scenario
async def test_a_handle_that_is_closed_foreign_or_none_is_resource_closed(kernel):
    class Looking(Provider):
        def on_look(self, arguments, client):
            return self.resource(client, arguments).label

    installed(Owner(), kind=Looking)
    mine, other = await opened(), await opened()
    handle = await mine.invoke("open", "mine")
    assert await mine.invoke("look", handle) == "mine"
    for client, wrong in (
        (other, handle),
        (mine, None),
        (mine, handle + 2),
        (mine, float(handle)),
        (mine, [handle]),
        (mine, True),
    ):
        with raises(errors.ResourceClosed):
            await client.invoke("look", wrong)
    await mine.invoke("close", handle)
    with raises(errors.ResourceClosed):
        await mine.invoke("look", handle)


@scenario
async def test_resources_are_listed_in_creation_order(kernel):
    app, provider, mine = await odd()
    other = await opened()
    for n in range(6):
        await (mine, other)[n % 2].invoke("open", f"r{n}")
    assert [r.label for r in provider.resources()] == [f"r{n}" for n in range(6)]
    mine.close()
    assert [r.label for r in provider.resources()] == ["r1", "r3", "r5"]


@scenario
async def test_a_client_that_was_never_opened_is_client_closed(kernel):
    with raises(errors.ClientClosed):
        await owners.client().invoke("echo", 1)


@scenario
async def test_a_handler_may_call_another_service(kernel):
    class Relay(Provider):
        async def on_relay(self, arguments, client):
            backend = await opened("backend")
            try:
                return await backend.invoke("later", arguments)
            finally:
                backend.close()

    installed(Owner(), "backend", uuid="backend")
    installed(Owner(), kind=Relay)
    mine = await opened()
    assert await mine.invoke("relay", [1]) == [1]


@scenario
async def test_an_app_may_call_its_own_service(kernel):
    Provider().install()
    mine = await opened()
    assert await mine.invoke("echo", 1) == 1
    assert await mine.invoke("later", 2) == 2


@scenario
async def test_a_proxy_of_a_handle_is_made_by_the_client(kernel):
    app, provider, mine = await odd()
    held = Proxy(mine, await mine.invoke("open", "r"))
    assert not held.is_closed and held.handle
    with raises(ValueError, "proxy"):
        Proxy(mine, held.handle)


@scenario
async def test_messages_name_the_object_the_fact_and_the_next_step(kernel):
    app, provider, mine = await odd()
    resource = owners.Resource(provider, mine.id)
    silent = owners.Resource(provider, mine.id, notifiable=False)
    resource.close()
    calls = [asyncio.create_task(mine.invoke("sleep", 5000)) for _ in range(16)]
    await owners.settle()
    closed, refused, gone = owners.client(), await opened(), await opened()
    permitted = Owner(permissions=[])
    gone._service_closed()

    async def denied():
        with raises(errors.Denied, f"{permitted.name} may not open provider: see its permissions"):
            await owners.client().open()

    await permitted.run(denied())

    for error, words, work in (
        (errors.ServiceNotFound, ("nobody", "does its app run"), owners.client("nobody").open()),
        (errors.AlreadyOpen, (owners.UUID, "is open", "close()"), refused.open()),
        (errors.ClientClosed, (owners.UUID, "not open", "open() it"), closed.invoke(0)),
        (errors.ServiceClosed, (owners.UUID, "gone", "open() again"), gone.invoke(0)),
        (errors.Busy, ("provider", "16 calls", "await one"), mine.invoke("echo")),
        (errors.CallTimeout, ("provider", "1 ms", "timeout_ms"), refused.invoke("hold", None, 1)),
        (errors.UnknownMethod, ("provider", "index", "int or a str"), refused.invoke(None)),
        (errors.TooLarge, ("arguments", "8192", "in pieces"), refused.invoke(0, "x" * 9000)),
        (errors.NotSerializable, ("arguments[1]: object",), refused.invoke(0, [0, object()])),
    ):
        with raises(error) as caught:
            await work
        for word in words:
            assert word in str(caught.value), caught.value
    for error, words, work in (
        (errors.AlreadyInstalled, ("provider", "is installed", "uninstall()"), provider.install),
        (errors.ResourceClosed, (str(resource.handle), "closed"), lambda: resource.notify(1)),
        (errors.NotNotifiable, ("resource", "notifiable=True"), lambda: silent.notify(1)),
        (errors.ResourceClosed, ("provider", "7", "a new one"), lambda: provider.resource(1, 7)),
    ):
        with raises(error) as caught:
            work()
        for word in words:
            assert word in str(caught.value), caught.value
    Provider("rival").install()
    with raises(errors.Ambiguous) as caught:
        await opened()
    for word in ("provider", "rival", owners.UUID, "restrict"):
        assert word in str(caught.value)
    mine.close()
    await asyncio.gather(*calls, return_exceptions=True)
