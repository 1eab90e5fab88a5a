# The system's own services when there is no memory for what they are asked: they go on.
# heap: 2m

from harness import raises
from kernel_lab import kernel_test
from kodkod import connect
from kodkod.errors import RemoteError
from kodkod.services import ServiceClient, ServiceSelector
from kodkod.system.provider import SystemProvider


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
