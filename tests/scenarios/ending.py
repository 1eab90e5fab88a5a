# The ends of apps, on both sides, and clients that come back.

import asyncio

from kodkod import spawn
from kodkod.services import ServiceClient
from rig import (
    SELECTOR,
    Watcher,
    attempt,
    director,
    events,
    happened,
    opened,
    say,
    scenario,
    setting,
    start,
    until,
)


async def holding(method, *arguments):
    """A client's app of its own: holds a resource and is in a call; then does what it is told."""
    client = await ServiceClient(SELECTOR).open()
    Watcher(client, await client.invoke("hold"))
    call = asyncio.create_task(client.invoke("sleep", [20000]))
    await happened("sleep")
    await ENDS[method](client, call)


async def crash(client, call):
    raise ValueError("client on fire")


async def leave(client, call):
    call.cancel()


async def sleep(client, call):
    await asyncio.sleep(20)


ENDS = {"crash": crash, "leave": leave, "sleep": sleep}


@scenario
async def a_clients_app_crashes():
    await start()
    app = spawn(holding, "crash", name="client")
    say(await app.wait(), app.reason)
    await events("sleep cancelled")


@scenario
async def a_clients_app_is_stopped():
    await start()
    app = spawn(holding, "sleep", name="client")
    await happened("sleep")
    await app.stop()
    say(app.reason, await app.wait())
    await events("client closed", "sleep cancelled", in_order=False)


@scenario
async def a_clients_app_ends_without_closing():
    await start()
    app = spawn(holding, "leave", name="client")
    say(await app.wait(), app.reason)
    await events("client closed", "sleep cancelled", in_order=False)


@scenario
async def a_clients_end_leaves_the_other_clients_alone():
    client, held = await setting()
    app = spawn(holding, "crash", name="client")
    await app.wait()
    await events("client closed")
    await client.invoke("notify", [held, "still here"])
    say(held.got)
    client.close()


async def in_flight(method, *arguments, **options):
    """What a client sees when the lab ends by `method` while it holds and calls."""
    client, held = await setting(**options)
    other = await ServiceClient(SELECTOR).open()
    call = asyncio.create_task(attempt(other.invoke("sleep", [20000])))
    await happened("sleep")
    say(await attempt(client.invoke(method, list(arguments))))
    say(await call)
    await until(lambda: held.is_closed)
    say(held.got)
    say(await attempt(other.invoke(0, 1)), await attempt(client.invoke(0, 1)))
    held.close()
    client.close()
    other.close()
    say(held.got, await attempt(client.invoke(0, 1)))
    return client


@scenario
async def the_service_is_uninstalled_in_flight():
    await in_flight("leave")
    await events("uninstalled", in_order=False)
    say(await attempt(ServiceClient(SELECTOR).open()))
    say(await director("end", "lab"))


@scenario
async def a_handler_uninstalls_its_own_service():
    await in_flight("leave_now")
    await events("sleep cancelled", in_order=False)


@scenario
async def a_task_of_the_service_crashes():
    await in_flight("crash_asleep")
    say(await director("end", "lab"))


@scenario
async def a_handler_exits():
    await in_flight("exit", 3)
    say(await director("end", "lab"))


@scenario
async def a_handler_exits_after_a_while():
    await in_flight("exit_later", 0)
    say(await director("end", "lab"))


@scenario
async def a_handler_has_no_memory():
    await in_flight("memory")
    say(await director("end", "lab"))


@scenario
async def a_handler_runs_away():
    await in_flight("spin", lab={"limit": 60})
    say(await director("end", "lab"))


@scenario
async def a_handlers_task_runs_away():
    await in_flight("spin_later", lab={"limit": 60})
    say(await director("end", "lab"))


@scenario
async def a_hook_exits_during_its_uninstall():
    client = await opened()
    held = []
    for bad_hook in (False, "exit", False):
        held.append(Watcher(client, await client.invoke("hold", [True, bad_hook])))
    await client.invoke("leave")
    await until(lambda: client.id is None and held[0].is_closed)
    say(held[0].got, held[1].got, held[2].got, await attempt(client.invoke(0, 1)))
    client.close()
    await events("client closed")
    say(await director("end", "lab"))


@scenario
async def a_hook_exits_when_its_client_closes():
    client = await opened()
    other, held = ServiceClient(SELECTOR), []
    await other.open()
    for bad_hook in (False, "exit", False):
        held.append(Watcher(client, await client.invoke("hold", [True, bad_hook])))
    watcher = Watcher(other, await other.invoke("hold"))
    client.close()
    await until(lambda: watcher.is_closed)
    say(held[0].got, held[1].got, held[2].got, watcher.got)
    await events("client closed", in_order=False)
    say(await director("end", "lab"))
    other.close()


@scenario
async def the_services_app_is_stopped():
    client, held = await setting()
    call = asyncio.create_task(attempt(client.invoke("sleep", [20000])))
    await happened("sleep")
    await director("stop", "lab")
    say(await call)
    await until(lambda: held.is_closed)
    say(held.got, await attempt(client.invoke(0, 1)))
    client.close()
    say(await director("end", "lab"))


@scenario
async def an_uninstall_that_waits_is_over_when_the_last_client_has_closed():
    client = await opened()
    other = await ServiceClient(SELECTOR).open()
    await client.invoke("leave_when_idle")
    say(await client.invoke(0, "still served"))
    client.close()
    say(await other.invoke(0, "still served"))
    other.close()
    await events("uninstalled")


@scenario
async def a_client_opens_again_when_another_provider_comes():
    client, held = await setting()
    await director("stop", "lab")
    await until(lambda: held.is_closed)
    say(await attempt(client.invoke(0, 1)))
    await start("lab")
    client.close()
    await client.open()
    say(await client.invoke(0, "again"))
    client.close()


class Returning(ServiceClient):
    times = 0

    def on_reconnected(self):
        self.times += 1


@scenario
async def a_client_with_reconnect_opens_again_by_itself():
    await start()
    client = await Returning(SELECTOR, reconnect=True).open()
    held = Watcher(client, await client.invoke("hold"))
    for count in (1, 2):
        first = client.id
        await client.invoke("come_back_after", [30])
        await until(lambda count=count: client.times == count)
        say(held.got, client.id != first, await client.invoke(0, "again"))
    await director("stop", "lab")
    await until(lambda: client.id is None)
    say(await attempt(client.invoke(0, 1)))
    await start()
    await until(lambda: client.times == 3)
    say(await client.invoke(0, "again"))
    client.close()
    say(await attempt(client.invoke(0, 1)))


@scenario
async def a_client_that_waits_to_come_back_can_be_closed():
    await start()
    client = await Returning(SELECTOR, reconnect=True).open()
    await director("stop", "lab")
    await until(lambda: client.id is None)
    client.close()
    await start()
    await asyncio.sleep(0.05)
    say(client.id, client.times, await attempt(client.invoke(0, 1)))
    await events()
    await client.open()
    say(await client.invoke(0, "by hand"))
    client.close()
