# The system's own services when there is no memory for what they are asked: they go on.
# heap: 2m

import gc

from harness import raises
from kernel_lab import kernel_test
from kodkod import connect
from kodkod.errors import RemoteError, UnknownMethod
from kodkod.message import pack
from kodkod.services import ServiceClient, ServiceProvider, ServiceSelector
from kodkod.services.listing import listing
from kodkod.system.provider import SystemProvider


class Impostor(ServiceProvider):
    def handle(self, index, arguments, gid, client):
        return "not the system"


@kernel_test
async def test_no_app_can_put_itself_in_the_place_of_the_system(kernel):
    uuid = "b7f2a1de-0002-4c1e-9a53-6b6f646b6f64"
    provider = SystemProvider("log", 2)
    provider.install()
    impostors = []
    for priority in (ServiceProvider.PRIORITY_NORMAL, 255):
        impostor = Impostor("kodkod/log", 1, 0)
        impostor.provides(ServiceSelector(uuid, 1, 0), impostor, priority=priority)
        impostor.install()
        impostors.append(impostor)
        for selector in (ServiceSelector(uuid, 1, 0), ServiceSelector("kodkod/log")):
            client = await ServiceClient(selector).open()
            assert await client.invoke("dropped", []) == {}
            client.close()
    for one in impostors + [provider]:
        await one.uninstall()


class FakeConsole:  # one that nobody uses any more
    cable = None

    def __init__(self):
        self.keys = self

    def rest(self, console):
        console.keys = None


@kernel_test
async def test_what_a_silent_console_keeps_is_for_who_asks_when_little_is_free(kernel):
    provider = SystemProvider("log", 2)
    provider.install()
    console = kernel.console = FakeConsole()
    client = await ServiceClient(ServiceSelector("kodkod/log")).open()
    await client.invoke("dropped", [])
    assert console.keys
    client.close()
    kept = None
    gc.collect()
    try:
        while gc.mem_free() > 19000:
            kept = kept, bytearray(500)
            if gc.mem_free() < 40000:
                gc.collect()
        client = await ServiceClient(ServiceSelector("kodkod/log")).open()
        await client.invoke("dropped", [])
    finally:
        kept = None
    assert not console.keys
    client.close()
    await provider.uninstall()


@kernel_test
async def test_who_looks_for_a_service_never_gets_an_error_of_another_ones_numbers(kernel):
    provider = Impostor("odd", 1, 0)
    for priority in (-1, 256, "high", None):
        with raises((ValueError, TypeError)):
            provider.provides(ServiceSelector("u", 1, 0), provider, priority=priority)
    for minor in (-1, "x", None):
        with raises((ValueError, TypeError)):
            provider.provides(ServiceSelector("u", 1, minor), provider)
    for options in ({"id": [1]}, {"tags": [["x"]]}, {"tags": [5]}):
        with raises(TypeError):
            provider.provides(ServiceSelector("u", 1, 0), provider, **options)
    with raises(TypeError):
        provider.provides(ServiceSelector(["u"], 1, 0), provider)
    with raises(TypeError):
        Impostor(["odd"], 1, 0).provides(ServiceSelector("u", 1, 0), provider)


@kernel_test
async def test_no_name_that_an_app_gives_keeps_the_list_of_services_from_being_told(kernel):
    class Evil:
        def __str__(self):
            raise AssertionError("an app's code in the kernel")

    names = ("n" * 3000, "漢" * 40, "\U0001f600" * 40, "\ud800", ["n"], 5, None, {}, Evil())
    providers = []
    for name in names:
        provider = Impostor(name, 1 << 80, "x", tags=["t" * 500, name] + ["\U0001f600" * 40] * 9)
        tags = provider.tags_  # as one that is set past provides()
        provider.announced_ = ((name, name, 1 << 80, 128, tags, name, provider.handle),)
        providers.append(provider)
    told = listing(providers)
    assert len(told) == len(names)
    for start in range(0, len(told), 4):  # as many as kodkod/device tells at once
        assert len(pack(told[start : start + 4])) < 2000
    assert {type(one["uuid"]) for one in told} == {str}


class Telling:
    def do_tell(self, client, *arguments):
        return list(arguments)


@kernel_test
async def test_an_app_calls_the_systems_services_by_connect_with_any_number_of_arguments(kernel):
    provider = SystemProvider("log", 2)
    provider.install()
    async with connect("kodkod/log") as service:
        provider._methods = Telling()
        assert await service.tell() == []
        assert await service.tell("clock") == ["clock"]
        assert await service.tell(5) == [5]
        assert await service.tell("clock", 5) == ["clock", 5]
        assert await service.tell([1]) == [[1]]
    await provider.uninstall()


@kernel_test
async def test_names_that_an_app_makes_up_cost_the_system_no_memory(kernel):
    async def make_up(start):
        for n in range(start, start + 300):
            with raises(UnknownMethod):
                await client.invoke("no_such_method_{}".format(n), [])
        gc.collect()
        return gc.mem_alloc()

    provider = SystemProvider("log", 2)
    provider.install()
    client = await ServiceClient(ServiceSelector("kodkod/log")).open()
    provider._methods = Telling()
    before = await make_up(0)
    assert await make_up(1000) - before < 2000  # each name has 20 B
    client.close()
    await provider.uninstall()


class Hungry:
    def do_now(self, client):
        raise MemoryError("not a byte is left, says the test")

    async def do_later(self, client):
        raise MemoryError("not a byte is left, says the test")

    def do_little(self, client):
        return "enough"


@kernel_test
async def test_what_the_system_has_no_memory_for_is_said_so_and_it_goes_on(kernel):
    provider = SystemProvider("log", 2)
    provider.install()
    client = await ServiceClient(
        ServiceSelector("b7f2a1de-0002-4c1e-9a53-6b6f646b6f64", 1, 0)
    ).open()
    provider._methods = Hungry()
    for method in ("now", "later"):
        with raises(RemoteError, "the device has no memory for that: kod stop") as caught:
            await client.invoke(method, [])
        assert caught.value.type == "MemoryError"
    assert await client.invoke("little", []) == "enough"
    client.close()
    await provider.uninstall()
