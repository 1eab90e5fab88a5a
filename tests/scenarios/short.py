# The second style: the client's side of it.

import asyncio

from kodkod import connect
from kodkod.services import ServiceSelector
from rig import attempt, events, say, scenario, show, start, until


@scenario
async def methods_are_called_by_their_name():
    await start("short")
    async with connect("scenarios/lines") as lines:
        say(await lines.add(1, 2), await lines.add("a", "b"), await lines.nothing())
        say(show(await lines.same()), show(await lines.same(1)), show(await lines.same(1, [2])))
        say(show(await lines.same([1])), show(await lines.same([])), show(await lines.same(None)))
        say(await attempt(lines.dance()), await attempt(lines.crash()))
        try:
            lines._private
        except AttributeError:
            say("hidden")
    say(await attempt(lines.add(1, 2)))


@scenario
async def a_resource_is_an_object_with_methods_and_messages():
    await start("short")
    async with connect("scenarios/lines") as lines:
        first = await lines.line()
        second = await lines.line_later()
        say(await first.say("one"), await first.say("two"), await second.say("three"))
        heard = []
        async for message in second:
            heard.append(message)
            if message == "two":
                break
        say(heard)
        async for message in first:
            say(message)
            break
        say(await attempt(first.fail()), await attempt(first.dance()))
        await second.end()
        async for message in second:
            say(message)
        say("over", await attempt(second.say("more")))
        first.close()
        say(first.is_closed)
    await events("line closed", name="short")


@scenario
async def messages_end_when_the_service_goes():
    await start("short")
    async with connect("scenarios/lines") as lines:
        first = await lines.line()
        second = await lines.line()

        async def listen():
            heard = []
            async for message in second:
                heard.append(message)
            return heard

        listening = asyncio.create_task(listen())
        await first.say("hello")
        say(await attempt(lines.leave()))
        say(await listening)
        await until(lambda: first.is_closed)
        say(await attempt(lines.add(1, 2)), await attempt(first.say("x")))


@scenario
async def by_uuid_and_version():
    await start("short")
    for selector in (
        ServiceSelector("scenarios/lines", 1, 1),
        ServiceSelector("scenarios/lines", 1, 3),
        "scenarios/nobody",
    ):
        try:
            async with connect(selector) as lines:
                say(await lines.add(1, 1))
        except Exception as error:
            say(type(error).__name__)


@scenario
async def an_exception_in_the_body_closes_too():
    await start("short")
    try:
        async with connect("scenarios/lines") as lines:
            await lines.line()
            raise KeyError("mine")
    except KeyError:
        say("mine")
    await events("line closed", name="short")
