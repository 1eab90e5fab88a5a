# The second style: @service, Resource and connect, over the same classes.
import asyncio
import gc

import owners
from harness import raises
from kodkod import Resource, connect, errors, service
from kodkod.services import ServiceClient, ServiceSelector, registry
from owners import Owner, scenario


def provide(owner, **options):
    """The service as `owner` provides it: class Notes, installed by its decorator."""

    def define():
        @service("tutorial/notes", **options)
        class Notes:
            constant = 7

            def __init__(self):
                self.events = []
                self.callback = lambda client: "not a method"

            def add(self, client, a, b=1):
                return a + b

            def echo(self, client, value):
                return value

            def count(self, client, *values):
                return len(values)

            async def later(self, client, value):
                await asyncio.sleep_ms(0)
                return value

            def connect(self, client):
                return Connection(self)

            async def connect_later(self, client):
                await asyncio.sleep_ms(0)
                return Connection(self)

            def connect_for(self, client):
                return Connection(self, client)

            def who(self, client):
                return client

            def fail(self, client):
                raise ValueError("no")

            def fail_typed(self, client):
                raise errors.Busy("typed")

            def _private(self, client):
                return "secret"

            def on_opened(self, client):
                self.events.append("opened")

            def on_closed(self, client):
                self.events.append("closed")

        class Connection(Resource):
            def send(self, message):
                for other in self.siblings():
                    other.notify(message)

            async def send_later(self, message):
                await asyncio.sleep_ms(0)
                self.send(message)
                return "sent"

            def end(self):
                self.notify("bye", close=True)

            def _private(self):
                return "secret"

            def on_closed(self):
                pass

        return Notes

    return owners._k.kernel.call(owner, define)


@scenario
async def test_the_tutorial_in_the_second_style(kernel):
    provide(Owner(), uuid="c6f4862f-c17f-4624-865b-fa19467865c5", version=(0, 1))
    async with connect("tutorial/notes") as first, connect("tutorial/notes") as second:
        one = await first.connect()
        two = await second.connect()
        await one.send("hello")
        await one.send("again")
        got = []
        async for message in two:
            got.append(message)
            if len(got) == 2:
                break
        assert got == ["hello", "again"]
        one.close()
        two.close()


@scenario
async def test_a_decorated_class_stays_a_class_and_is_installed(kernel):
    app = Owner()
    notes = provide(app, uuid="u", version=(2, 3), priority=9, tags=["t"])
    assert isinstance(notes, type)
    record = registry.listing()[0]
    assert record["name"] == "tutorial/notes" and record["uuid"] == "u"
    assert record["version"] == [2, 3] and record["priority"] == 9 and record["tags"] == ["t"]
    assert record["app"] == app.name
    kernel.call(app, notes.provider.uninstall)
    assert not registry.providers


@scenario
async def test_the_uuid_is_the_name_unless_given(kernel):
    provide(Owner())
    assert registry.listing()[0]["uuid"] == "tutorial/notes"


@scenario
async def test_connect_by_name_uuid_or_selector(kernel):
    provide(Owner(), uuid="u", version=(2, 3))
    for what in ("tutorial/notes", "u", ServiceSelector("u", 2, 1)):
        async with connect(what) as remote:
            assert await remote.echo(1) == 1
    with raises(errors.VersionMismatch):
        async with connect(ServiceSelector("u", 3, 0)):
            pass


@scenario
async def test_connect_waits_like_open(kernel):
    async def use():
        async with connect("tutorial/notes", timeout_ms=5000) as remote:
            return await remote.echo(1)

    task = asyncio.create_task(use())
    await owners.settle()
    provide(Owner())
    assert await task == 1
    with raises(errors.ServiceNotFound):
        async with connect("nothing", timeout_ms=None):
            pass


@scenario
async def test_leaving_the_block_closes_the_client_also_by_an_exception(kernel):
    notes = provide(Owner())
    with raises(KeyError):
        async with connect("tutorial/notes") as remote:
            await remote.connect()
            raise KeyError(1)
    assert not notes.provider.sessions_
    with raises(errors.ClientClosed):
        await remote.echo(1)


@scenario
async def test_arguments_travel_as_they_were_given(kernel):
    provide(Owner())
    async with connect("tutorial/notes") as remote:
        assert await remote.add(1) == 2
        assert await remote.add(1, 2) == 3
        assert await remote.add("a", "b") == "ab"
        assert await remote.count() == 0
        for value in (None, [], [1, 2], (1, 2), {}, {"a": 1}, "text", 5, True):
            assert await remote.count(value) == 1, value
            got = await remote.echo(value)
            assert got == (list(value) if type(value) is tuple else value)
            assert await remote.later(value) == got
        assert await remote.count(None, None) == 2


@scenario
async def test_every_public_method_is_callable_and_nothing_else(kernel):
    provide(Owner())
    async with connect("tutorial/notes") as remote:
        for name in ("constant", "callback", "nothing", "on_opened", "on_closed", "provider"):
            with raises(errors.UnknownMethod, f"tutorial/notes has no method {name}"):
                await getattr(remote, name)()
    client = await ServiceClient(ServiceSelector("tutorial/notes")).open()
    for index in ("_private", "__init__", "__class__", "", 0, 7):
        with raises(errors.UnknownMethod):
            await client.invoke(index, [])


@scenario
async def test_a_resources_own_public_methods_are_callable_and_nothing_else(kernel):
    provide(Owner())
    client = await ServiceClient(ServiceSelector("tutorial/notes")).open()
    handle = (await client.invoke("connect", []))["kodkod:handle"]
    for name in ("_private", "__init__", "notify", "close", "siblings", "handle", "on_closed"):
        with raises(errors.UnknownMethod):
            await client.invoke("." + name, [handle])
    with raises(errors.ResourceClosed):
        await client.invoke(".send", [handle + 2, "x"])
    assert await client.invoke(".send_later", [handle, "x"]) == "sent"


@scenario
async def test_malformed_calls_are_typed_errors_and_nobody_dies(kernel):
    app = Owner()
    provide(app)
    client = await ServiceClient(ServiceSelector("tutorial/notes")).open()
    for index, arguments in ((".send", None), (".send", []), (".", [1]), ("echo", [])):
        with raises(errors.KodkodError):
            await client.invoke(index, arguments)
    assert app.running
    assert await client.invoke("echo", 1) == 1


@scenario
async def test_a_resource_of_another_class_has_its_own_methods_only(kernel):
    def define():
        @service("two kinds")
        class Two:
            def make(self, client, kind):
                return (Base, Lower)[kind](self)

        class Base(Resource):
            def who(self):
                return "base"

        class Lower(Base):
            def who(self):
                return "lower"

            def more(self):
                return "more"

    kernel.call(Owner(), define)
    async with connect("two kinds") as two:
        base, lower = await two.make(0), await two.make(1)
        for _ in range(2):
            assert (await lower.who(), await lower.more(), await base.who()) == (
                "lower",
                "more",
                "base",
            )
            with raises(errors.UnknownMethod, "more"):
                await base.more()


@scenario
async def test_names_that_a_client_makes_up_cost_the_provider_no_memory(kernel):
    async def make_up(start):
        for n in range(start, start + 300):
            for name, arguments in (("no_such_method_{}", 1), (".no_such_method_{}", [handle])):
                with raises(errors.UnknownMethod):
                    await client.invoke(name.format(n), arguments)
        gc.collect()
        return gc.mem_alloc()

    provide(Owner())
    client = await ServiceClient(ServiceSelector("tutorial/notes")).open()
    handle = (await client.invoke("connect", ()))["kodkod:handle"]
    before = await make_up(0)
    assert await make_up(1000) - before < 2000  # each name has 20 B
    client.close()


@scenario
async def test_errors_arrive_as_in_the_first_style(kernel):
    provide(Owner())
    async with connect("tutorial/notes") as remote:
        with raises(errors.RemoteError, "no") as caught:
            await remote.fail()
        assert caught.value.type == "ValueError"
        with raises(errors.Busy, "typed"):
            await remote.fail_typed()


@scenario
async def test_resources_belong_to_the_client_that_asked_in_every_kind_of_method(kernel):
    notes = provide(Owner())
    async with connect("tutorial/notes") as first, connect("tutorial/notes") as second:
        for name in ("connect", "connect_later", "connect_for"):
            made = await asyncio.gather(getattr(first, name)(), getattr(second, name)())
            for remote, held in zip((first, second), made):
                number = await remote.who()
                assert notes.provider.resource(number, held.handle)
                held.close()
    assert not notes.provider.callers_ and notes.provider.caller_ is None


@scenario
async def test_a_resource_that_no_call_makes_says_that_it_needs_the_client(kernel):
    notes = provide(Owner())
    with raises(ValueError, "give Resource the client"):
        kernel.call(notes.provider.owner_, Resource, notes.provider.target_)


@scenario
async def test_methods_of_a_resource_may_be_async(kernel):
    provide(Owner())
    async with connect("tutorial/notes") as first, connect("tutorial/notes") as second:
        one, two = await first.connect(), await second.connect()
        assert await one.send_later("x") == "sent"
        async for message in two:
            assert message == "x"
            break


@scenario
async def test_iteration_waits_for_messages_and_ends_with_the_resource(kernel):
    provide(Owner())
    async with connect("tutorial/notes") as first, connect("tutorial/notes") as second:
        one, two = await first.connect(), await second.connect()
        got = []

        async def listen():
            async for message in two:
                got.append(message)
            got.append("end")

        task = asyncio.create_task(listen())
        await owners.settle()
        await one.send(1)
        await owners.settle()
        assert got == [1]
        await one.send(2)
        await two.end()
        await task
        assert got == [1, 2, "bye", "end"]
        assert two.is_closed


@scenario
async def test_iteration_ends_when_the_provider_goes(kernel):
    app = Owner()
    provide(app)
    async with connect("tutorial/notes") as remote:
        held = await remote.connect()
        task = asyncio.create_task(drain(held))
        await owners.settle()
        app.end()
        assert await task == []


async def drain(held):
    got = []
    async for message in held:
        got.append(message)
    return got


@scenario
async def test_what_is_not_read_is_bounded_and_counted(kernel):
    provide(Owner())
    async with connect("tutorial/notes") as first, connect("tutorial/notes") as second:
        one, two = await first.connect(), await second.connect()
        for n in range(100):
            await one.send(n)
            await asyncio.sleep_ms(0)
        await owners.settle()
        two.close()
        assert await drain(two) == list(range(36, 100))
        assert two.dropped == 36


@scenario
async def test_what_is_not_read_has_the_bounds_of_the_client(kernel):
    provide(Owner())
    async with connect("tutorial/notes") as first:
        one = await first.connect()
        for options, kept, dropped in (
            ({"queue": 3}, [7, 8, 9], 7),
            ({"queue": 3, "overflow": "drop_newest"}, [0, 1, 2], 7),
            ({"queue": 3, "overflow": "close"}, [0, 1, 2], 1),
            ({"queue": 100}, list(range(10)), 0),
        ):
            async with connect("tutorial/notes", **options) as second:
                two = await second.connect()
                for n in range(10):
                    await one.send(n)
                    await asyncio.sleep_ms(0)
                await owners.settle()
                assert two.is_closed == (options.get("overflow") == "close")
                two.close()
                assert (await drain(two), two.dropped) == (kept, dropped)
        async with connect("tutorial/notes") as second:
            two = await second.connect()
            for n in range(10):
                await one.send(str(n) * 1000)  # 4 KB of them
                await asyncio.sleep_ms(0)
            two.close()
            assert (len(await drain(two)), two.dropped) == (4, 6)


@scenario
async def test_hooks_of_the_class_are_called(kernel):
    seen = []

    def define():
        @service("hooked")
        class Hooked:
            def on_opened(self, client):
                seen.append("opened")

            def on_closed(self, client):
                seen.append("closed")

    kernel.call(Owner(), define)
    async with connect("hooked"):
        assert seen == ["opened"]
    assert seen == ["opened", "closed"]


@scenario
async def test_names_that_the_client_itself_uses_are_free_for_the_service(kernel):
    def define():
        @service("names")
        class Names:
            def open(self, client):
                return "open"

            def close(self, client):
                return "close"

            def invoke(self, client):
                return "invoke"

            def id(self, client):
                return "id"

    kernel.call(Owner(), define)
    async with connect("names") as remote:
        for name in ("open", "close", "invoke", "id"):
            assert await getattr(remote, name)() == name
