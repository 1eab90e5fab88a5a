# Resources and their proxies: every way in which they end, told once and last.

import asyncio

from kodkod.services import ServiceClient
from rig import (
    SELECTOR,
    Watcher,
    attempt,
    events,
    happened,
    opened,
    say,
    scenario,
    setting,
    show,
    start,
    until,
)


@scenario
async def closed_by_the_proxy():
    client, held = await setting()
    say(held.is_closed)
    held.close()
    held.close()
    say(held.is_closed, held.handle, held.got)
    await events("resource 1 closed")
    client.close()
    say(held.got)
    await events("client closed")


@scenario
async def closed_with_the_client():
    client, first = await setting()
    second = Watcher(client, await client.invoke("hold"))
    quiet = Watcher(client, await client.invoke("hold", [False]))
    client.close()
    say(first.got, second.got, quiet.got, first.handle, quiet.is_closed)
    first.close()
    second.close()
    client.close()
    await events("client closed")
    say(first.got, second.got, quiet.got)


@scenario
async def closed_in_a_finally_while_being_cancelled():
    client, held = await setting()

    async def use():
        try:
            await client.invoke("sleep", [20000])
        finally:
            held.close()
            client.close()

    task = asyncio.create_task(use())
    await happened("sleep")
    task.cancel()
    say(await attempt(task), held.got)
    await events("client closed", "sleep cancelled", in_order=False)


@scenario
async def a_close_comes_before_any_later_call():
    client, held = await setting()
    other = Watcher(client, await client.invoke("hold"))
    held.close()
    say(await client.invoke("held"))
    client.close()
    await client.open()
    say(await client.invoke("held"), other.got)
    client.close()


@scenario
async def closed_by_the_resource():
    client, held = await setting()
    await client.invoke("shut", [held.handle])
    await until(lambda: held.is_closed)
    say(held.got)
    held.close()
    client.close()
    say(held.got)
    await events("client closed")


@scenario
async def closed_by_a_last_notification():
    client, held = await setting()
    await client.invoke("notify", [held.handle, "last", True])
    await until(lambda: held.is_closed)
    say(held.got)
    client.close()
    await events("client closed")


@scenario
async def closed_behind_a_burst():
    client, held = await setting()
    await client.invoke("burst", [held.handle, 0, 30, True])
    await until(lambda: held.is_closed)
    say(held.got[:2], held.got[-2:], len(held.got), held.dropped)
    client.close()


@scenario
async def a_quiet_resource_tells_its_end_too():
    client = await opened()
    quiet = Watcher(client, await client.invoke("hold", [False]))
    say(await attempt(client.invoke("notify", [quiet, 1])))
    await client.invoke("shut", [quiet])
    await until(lambda: quiet.is_closed)
    say(quiet.got)
    client.close()


@scenario
async def closed_before_there_was_a_proxy():
    client = await opened()
    handle = await client.invoke("hold")
    await client.invoke("shut", [handle])
    held = Watcher(client, handle)
    await until(lambda: held.is_closed)
    say(held.got)
    handle = await client.invoke("hold_notify_close", [3])
    held = Watcher(client, handle)
    await until(lambda: held.is_closed)
    say(held.got)
    client.close()


@scenario
async def a_proxy_crosses_as_its_handle():
    client, held = await setting()
    say(await client.invoke("number", [held]))
    say(await client.invoke("echo", [{"proxy": held}]) == {"proxy": held.handle})
    inside = (await client.invoke("hold_inside", [2]))["held"]
    second = Watcher(client, inside[0])
    say(await client.invoke("number", [second]), len(inside))
    held.close()
    say(await attempt(client.invoke("number", [held])))
    client.close()


@scenario
async def a_handle_belongs_to_one_client():
    client, held = await setting()
    other = await ServiceClient(SELECTOR).open()
    say(await attempt(other.invoke("number", [held.handle])))
    say(await attempt(client.invoke("number", [held.handle + 2])))
    say(await attempt(client.invoke("number", ["1"])))
    handle = held.handle
    held.close()
    say(await attempt(client.invoke("number", [handle])))
    client.close()
    other.close()


@scenario
async def one_proxy_for_a_handle():
    client, held = await setting()
    try:
        Watcher(client, held.handle)
    except ValueError:
        say("refused")
    await client.invoke("notify", [held.handle, "to the first"])
    say(held.got)
    client.close()


@scenario
async def no_proxy_for_a_closed_client():
    client = await opened()
    handle = await client.invoke("hold")
    client.close()
    try:
        Watcher(client, handle)
    except Exception as error:
        say(type(error).__name__)
    await events("client closed")


@scenario
async def resources_close_in_the_order_of_their_creation():
    client = await opened()
    for _ in range(5):
        await client.invoke("hold")
    say(show(await client.invoke("held")))
    client.close()
    await events("client closed")


@scenario
async def a_hook_that_raises_does_not_keep_the_others_from_closing():
    client = await opened()
    for bad_hook in (False, True, False):
        await client.invoke("hold", [True, bad_hook])
    client.close()
    await events("client closed")


@scenario
async def the_service_goes_and_every_proxy_is_told_after_what_was_sent():
    client, held = await setting()
    second = Watcher(client, await client.invoke("hold", [False]))
    await client.invoke("burst", [held.handle, 0, 3])
    await client.invoke("leave")
    await until(lambda: held.is_closed and second.is_closed)
    say(held.got, second.got)
    held.close()
    client.close()
    say(held.got)
    await events("uninstalled")


class Slow(Watcher):
    async def on_closed(self, reason):
        await asyncio.sleep(0.001)
        super().on_closed(reason)
        raise ValueError("as told")


class Failing(Watcher):
    def on_closed(self, reason):
        super().on_closed(reason)
        raise ValueError("as told")


@scenario
async def who_raises_when_told_of_an_end_keeps_no_other_from_being_told():
    await start()
    for end in ("shut", "close", "leave"):
        client = await ServiceClient(SELECTOR).open()
        held = []
        for kind in (Slow, Failing, Watcher):
            held.append(kind(client, await client.invoke("hold")))
        if end == "shut":
            for one in held:
                await client.invoke("shut", [one.handle])
        elif end == "leave":
            await client.invoke("leave")
        else:
            client.close()
        await until(lambda held=held: all(one.got for one in held))
        client.close()
        say(held[0].got, held[1].got, held[2].got)
        await happened("client closed")


@scenario
async def a_client_that_is_told_of_an_end_may_close_everything():
    class Nervous(Watcher):
        def on_closed(self, reason):
            super().on_closed(reason)
            self.close()
            client.close()

    client = await opened()
    held = Nervous(client, await client.invoke("hold"))
    other = Watcher(client, await client.invoke("hold"))
    await attempt(client.invoke("shut", [held]))  # over a link it is still under way then
    await until(lambda: other.is_closed)
    say(held.got, other.got)
    await happened("client closed")
