# Calls: every way in which one can end, but for the end of an app (ending.py).

import asyncio
import sys

from kodkod import errors, spawn
from kodkod.services import ServiceClient
from rig import SELECTOR, attempt, events, happened, opened, say, scenario, show


@scenario
async def handlers_may_be_plain_or_async():
    client = await opened()
    say(await client.invoke(0, 5), await client.invoke(0))
    say(await client.invoke("echo", ["plain"]))
    say(await client.invoke("later", [1, "async"]))
    client.close()


@scenario
async def typed_errors_arrive_as_their_class():
    client = await opened()
    for kind in (
        "KodkodError",
        "ServiceNotFound",
        "VersionMismatch",
        "Ambiguous",
        "AlreadyOpen",
        "AlreadyInstalled",
        "ClientClosed",
        "ServiceClosed",
        "ResourceClosed",
        "NotNotifiable",
        "CallTimeout",
        "Busy",
        "UnknownMethod",
        "NotSerializable",
        "TooLarge",
        "Denied",
        "AppNotFound",
        "AppExists",
        "AppFailed",
        "ImageInvalid",
        "StorageFull",
        "AuthFailed",
        "Incompatible",
    ):
        try:
            await client.invoke("fail", [kind])
        except errors.KodkodError as error:
            exact = type(error) is getattr(errors, kind)
            say(kind, error, exact, error.code == getattr(errors, kind).code)
        say(await attempt(client.invoke("fail_later", [kind])))
    say(await client.invoke(0, "still here"))
    client.close()


@scenario
async def other_errors_arrive_with_type_message_and_traceback():
    client = await opened()
    for method in ("fail", "fail_later"):
        try:
            await client.invoke(method, ["ValueError"])
        except errors.RemoteError as error:
            say(error.type, error, "in do_fail" in error.traceback)
    say(await attempt(client.invoke("fail", ["OSError"])))
    say(await attempt(client.invoke("echo", [1, 2, 3])))
    say(await client.invoke(0, "still here"))
    client.close()


@scenario
async def unknown_methods():
    client = await opened()
    say(await attempt(client.invoke(99)))
    say(await attempt(client.invoke("dance", [1])))
    say(await attempt(client.invoke(None, 1)))
    say(await attempt(client.invoke(1.5, 1)))
    client.close()


@scenario
async def what_cannot_cross_is_named_with_its_path():
    client = await opened()
    for value in ([1, {"pin": say}], {1.5: 2}, 1 << 64, [{"a": [object()]}], "x" * 9000):
        try:
            await client.invoke("echo", [value])
        except errors.KodkodError as error:
            text = str(error)
            say(type(error).__name__, text if len(text) < 60 and "func" not in text else "")
    say(await attempt(client.invoke("object")))
    say(await attempt(client.invoke("big", [9000])))
    say(len(await client.invoke("big", [1500])))
    say(await client.invoke(0, "still here"))
    client.close()


@scenario
async def a_call_that_takes_too_long_is_ended_on_both_sides():
    client = await opened()
    say(await attempt(client.invoke("sleep", [10000], timeout_ms=20)))
    await events("sleep cancelled")
    say(await attempt(client.invoke("sleep", [1], timeout_ms=None)))
    say(await attempt(client.invoke("sleep", [1], timeout_ms=5000)))
    await events("sleep")
    client.close()


@scenario
async def a_cancelled_caller_cancels_the_handler():
    client = await opened()
    task = asyncio.create_task(client.invoke("sleep", [10000]))
    await events("sleep")
    task.cancel()
    say(await attempt(task))
    await events("sleep cancelled")
    say(await attempt(asyncio.wait_for(client.invoke("sleep", [10000]), 0.03)))
    await events("sleep cancelled")
    say(await client.invoke(0, "still here"))
    client.close()


@scenario
async def a_handler_that_is_cancelled_there_is_an_error_here():
    client = await opened()
    say(await attempt(client.invoke("cancel_itself")))
    say(await client.invoke(0, "still here"))
    client.close()


@scenario
async def closing_the_client_ends_its_calls_and_no_others():
    client = await opened()
    other = await ServiceClient(SELECTOR).open()
    mine = asyncio.create_task(attempt(client.invoke("sleep", [10000])))
    await events("sleep")
    others = asyncio.create_task(attempt(other.invoke("sleep", [50])))
    await events("sleep")
    client.close()
    say(await mine)
    say(await others)
    await events("sleep cancelled")
    other.close()


@scenario
async def calls_overlap_and_begin_in_order():
    client = await opened()
    done = []

    async def call(ms):
        await client.invoke("later", [ms, None])
        done.append(ms)

    await asyncio.gather(call(90), call(50), call(10))
    say(done)
    say(show(list(await asyncio.gather(*[client.invoke(0, n) for n in range(10)]))))
    client.close()


@scenario
async def seventeen_pending_calls_are_one_too_many():
    client = await opened()
    calls = [asyncio.create_task(attempt(client.invoke("sleep", [60]))) for _ in range(16)]
    await asyncio.sleep(0.01)
    say(await attempt(client.invoke("sleep", [1])))
    ended = list(await asyncio.gather(*calls))
    say(len(ended), ended[0], ended == ended[:1] * 16)
    say(await client.invoke(0, "free again"))
    client.close()


@scenario
async def a_client_closes_in_the_middle_of_everything():
    client = await opened()
    calls = [asyncio.create_task(attempt(client.invoke("sleep", [10000]))) for _ in range(16)]
    await asyncio.sleep(0.05)
    client.close()
    client.close()
    say(list(await asyncio.gather(*calls)) == ["ClientClosed"] * 16)
    await client.open()
    say(await client.invoke(0, "open again"))
    client.close()


@scenario
async def arguments_are_copies():
    client = await opened()
    value = [1, [2]]
    back = await client.invoke(0, value)
    back[1].append(3)
    say(show(value), show(back))
    client.close()


async def call_and_exit():
    client = await ServiceClient(SELECTOR).open()
    seen_before = await client.invoke(1)
    client.close()
    sys.exit(1 if seen_before else 7)


@scenario
async def a_handler_is_told_whose_call_it_is():
    client = await opened()
    other = await ServiceClient(SELECTOR).open()
    say(await client.invoke(1), await client.invoke(1), await other.invoke(1))
    say(await spawn(call_and_exit).wait())
    client.close()
    other.close()


@scenario
async def a_resource_whose_caller_has_left_closes_with_its_client():
    client = await opened()
    for call in (
        client.invoke("hold_and_sleep", [20000], timeout_ms=30),
        asyncio.wait_for(client.invoke("hold_and_sleep", [20000]), 0.03),
    ):
        say(await attempt(call))
        await happened("sleep cancelled")
    say(await client.invoke("held"))
    client.close()
    await events("client closed")
