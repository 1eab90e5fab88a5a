# Opening: who is found, who waits, who is refused.

import asyncio

from kodkod import errors
from kodkod.services import ServiceClient, ServiceSelector
from rig import SELECTOR, UUID, attempt, director, events, opened, say, scenario, show, start

NOBODY = ServiceSelector("0f5e2c84-7f6b-4d1c-9a37-000000000000", 1, 0)


@scenario
async def absent_is_an_error_a_value_or_what_a_function_gives():
    say(await attempt(ServiceClient(NOBODY).open()))
    say(await attempt(ServiceClient(NOBODY).open(timeout_ms=None)))
    say(await attempt(ServiceClient(NOBODY).open(timeout_ms=20)))
    say(await attempt(ServiceClient(NOBODY).open(if_absent="nobody")))
    say(await attempt(ServiceClient(NOBODY).open(if_absent=None)))
    say(await attempt(ServiceClient(NOBODY).open(timeout_ms=20, if_absent=lambda: 7)))
    say(await attempt(ServiceClient(ServiceSelector("", 1, 0)).open()))


@scenario
async def a_client_has_the_providers_name_and_version():
    await start(name="clock", major=3, minor=4, patch=5)
    client = ServiceClient(SELECTOR)
    say(client.id, client.name, client.major, client.minor, client.patch)
    say(await client.open() is client)
    say(client.name, client.major, client.minor, client.patch)
    say(await client.invoke("client") == client.id)
    client.close()
    say(client.id)


@scenario
async def open_waits_for_an_installation():
    client = ServiceClient(SELECTOR)
    waiting = asyncio.create_task(client.open(timeout_ms=5000))
    await asyncio.sleep(0.03)
    say(waiting.done())
    await start()
    await waiting
    say(await client.invoke(0, "found"))
    client.close()


@scenario
async def a_second_open_is_refused_and_a_closed_client_opens_again():
    client = await opened()
    first = client.id
    say(await attempt(client.open()))
    say(await client.invoke(0, 1))
    client.close()
    say(await attempt(client.invoke(0, 1)))
    await client.open()
    say(await client.invoke(0, 2), client.id != first)
    client.close()
    waiting = asyncio.create_task(client.open(timeout_ms=5000))
    second = asyncio.create_task(attempt(client.open()))
    await waiting
    say(await second)
    client.close()
    await events("client closed")


@scenario
async def never_opened_is_closed():
    client = ServiceClient(SELECTOR)
    say(await attempt(client.invoke(0, 1)))
    client.close()
    client.close()


@scenario
async def a_wrong_version_is_a_mismatch_also_with_if_absent():
    await start(provides=[[1, 2]])
    for major, minor in ((1, 0), (1, 2), (1, 3), (2, 0), (0, 1)):
        client = ServiceClient(ServiceSelector(UUID, major, minor))
        say(major, minor, await attempt(client.open(if_absent=None)))
        client.close()
    try:
        await ServiceClient(ServiceSelector(UUID, 2, 0)).open()
    except errors.ServiceNotFound as error:
        say(error)
    say(await attempt(ServiceClient(ServiceSelector(UUID, 2, 0)).open(20, if_absent=None)))


@scenario
async def a_waiting_open_takes_the_best_of_those_that_are_there_then():
    client = ServiceClient(SELECTOR)
    waiting = asyncio.create_task(client.open(timeout_ms=5000))
    await asyncio.sleep(0.03)
    new = {"name": "new", "priority": 0xF0, "provides": [[2, 0]]}
    await start(name="first", others=[new, {"name": "best", "priority": 0xD0}])
    await waiting
    say(client.name)
    client.close()


@scenario
async def a_compatible_provider_is_preferred_to_one_of_higher_priority():
    await start("old", provides=[[1, 0]], priority=0x30)
    await start("new", provides=[[2, 0]], priority=0xF0)
    client = await ServiceClient(SELECTOR).open()
    say(client.name)
    client.close()


@scenario
async def the_highest_priority_wins_and_equal_ones_are_ambiguous():
    await start("one")
    await start("two", priority=0xB0)
    client = await ServiceClient(SELECTOR).open()
    say(client.name)
    client.close()
    await start("three", priority=0xB0)
    say(await attempt(client.open()))
    say(await attempt(client.open(timeout_ms=20, if_absent=None)))


@scenario
async def restrictions_travel():
    await start("one", major=1, minor=1, tags=["red"])
    await start("two", major=2, minor=1, tags=["red", "big"])
    await start("three", major=2, minor=2, tags=["blue"])

    async def find(selector):
        client = ServiceClient(selector)
        found = await attempt(client.open())
        say(found, client.name)
        client.close()

    await find(SELECTOR)
    await find(SELECTOR.restrict().allow(name="one"))
    await find(SELECTOR.restrict().deny(name="one").deny(name="two"))
    await find(SELECTOR.restrict().allow(name="two", major=2).deny(tag="blue"))
    await find(SELECTOR.restrict().allow(name="two", major=1))
    await find(SELECTOR.restrict().allow(name="three", major=2, minor=2))
    await find(SELECTOR.restrict().allow(tags=["blue", "green"]))
    await find(SELECTOR.restrict().allow(tag="red"))
    await find(SELECTOR.restrict().allow(tag="red").deny(tag="big"))
    await find(SELECTOR.restrict().deny(tags=["red", "blue"]))
    await find(ServiceSelector(UUID).restrict().deny(tag="red"))


@scenario
async def a_providers_name_will_do_without_a_version():
    await start("thermometer", provides=[[4, 7]])
    client = await ServiceClient(ServiceSelector("thermometer")).open()
    say(await client.invoke(0, "warm"))
    client.close()
    client = await ServiceClient(ServiceSelector(UUID)).open()
    say(client.name)
    client.close()


@scenario
async def close_ends_a_waiting_open():
    client = ServiceClient(NOBODY)
    waiting = asyncio.create_task(attempt(client.open(timeout_ms=10000)))
    await asyncio.sleep(0.03)
    client.close()
    say(await waiting)
    say(await attempt(client.open(if_absent="free again")))


@scenario
async def cancelling_a_waiting_open_leaves_nothing():
    client = ServiceClient(SELECTOR)
    waiting = asyncio.create_task(client.open(timeout_ms=10000))
    await asyncio.sleep(0.03)
    waiting.cancel()
    say(await attempt(waiting))
    await start()
    await asyncio.sleep(0.03)
    await events()
    await client.open()
    client.close()
    await events("client closed")


@scenario
async def a_time_limit_around_a_waiting_open():
    say(await attempt(asyncio.wait_for(ServiceClient(NOBODY).open(timeout_ms=10000), 0.03)))


@scenario
async def a_hook_that_raises_disturbs_nobody():
    client = await opened(lab={"bad_hooks": True})
    say(await client.invoke(0, 1))
    client.close()
    await events("client closed")
    await client.open()
    say(await client.invoke(0, 2))
    client.close()


@scenario
async def a_hook_that_exits_when_a_client_opens_ends_the_service():
    await start(bad_hooks="exit when opened")
    say(await attempt(ServiceClient(SELECTOR).open()))
    say(await director("end", "lab"))


def mistake(function):
    try:
        function()
    except ValueError as error:
        return error


@scenario
async def a_selectors_mistakes_are_told():
    restricted = SELECTOR.restrict().allow(name="a", major=1).deny(tag="x")
    say(mistake(restricted.restrict))
    say(mistake(lambda: restricted.allow(name="b", minor=1)))
    say(mistake(lambda: restricted.allow(major=1)))
    say(mistake(lambda: restricted.deny(name="a")))
    say(mistake(lambda: restricted.allow(tag="x")))
    say(mistake(lambda: ServiceClient(SELECTOR, overflow="panic")))
    say(mistake(lambda: ServiceClient(SELECTOR, queue=0)))
    say(SELECTOR.matches(ServiceSelector(UUID, 1, 0)), SELECTOR.matches(restricted))
    say(SELECTOR.matches(ServiceSelector(UUID, 1, 1)))


@scenario
async def several_services_of_one_provider():
    await start(provides=[[1, 0], [2, 3]])
    for selector in (SELECTOR, ServiceSelector(UUID, 2, 1)):
        client = await ServiceClient(selector).open()
        say(show(await client.invoke("echo", [selector.major])))
        client.close()
    await director("stop", "lab")
    say(await attempt(ServiceClient(SELECTOR).open()))
