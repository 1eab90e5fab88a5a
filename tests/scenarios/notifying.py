# Notifications: in order, one at a time, kept, bounded, counted; the sender never waits.

import asyncio

from rig import Watcher, attempt, happened, opened, say, scenario, setting, until


@scenario
async def what_was_sent_before_the_handler_returned_comes_before_the_answer():
    client, held = await setting()
    for first in (0, 3, 6):
        await client.invoke("burst", [held.handle, first, 3])
        say(held.got)
    client.close()


@scenario
async def forty_are_delivered_before_the_answer_too():
    client, held = await setting()
    await client.invoke("burst", [held.handle, 0, 40])
    say(len(held.got), held.got == list(range(40)))
    client.close()


@scenario
async def what_was_sent_before_there_was_a_proxy_is_kept():
    client = await opened()
    handle = await client.invoke("hold_and_notify", [5])
    await asyncio.sleep(0.02)
    await client.invoke("burst", [handle, 5, 3])
    held = Watcher(client, handle)
    await client.invoke("burst", [handle, 8, 2])
    say(held.got, held.dropped)
    client.close()


@scenario
async def of_what_comes_before_the_proxy_the_newest_sixty_four_are_kept():
    client = await opened()
    handle = await client.invoke("hold_and_notify", [100])
    held = Watcher(client, handle)
    await client.invoke(0)
    say(held.got == list(range(36, 100)), held.dropped)
    client.close()


class Slow(Watcher):
    running = 0

    async def on_notified(self, value):
        self.running += 1
        self.got.append(f"{value} begins with {self.running}")
        await asyncio.sleep(0.005)
        self.running -= 1


@scenario
async def bodies_do_not_overlap():
    client = await opened()
    held = Slow(client, await client.invoke("hold"))
    await client.invoke("burst", [held, 0, 4, True])
    await until(lambda: held.is_closed)
    say(held.got)
    client.close()


@scenario
async def one_that_takes_its_time_has_begun_before_the_answer():
    client = await opened()
    held = Slow(client, await client.invoke("hold"))
    for number in range(3):
        await client.invoke("burst", [held, number, 1])
        say(held.got[-1], len(held.got))
    client.close()


@scenario
async def what_closed_resources_sent_and_nobody_took_is_counted():
    client = await opened()
    for _ in range(20):
        await client.invoke("hold_notify_close", [3])
    await until(lambda: client.dropped == 12)
    client.close()
    say(client.dropped)


class Failing(Watcher):
    def on_notified(self, value):
        super().on_notified(value)
        if value == 1:
            raise ValueError("as told")


@scenario
async def one_that_raises_does_not_keep_the_next_from_coming():
    client = await opened()
    held = Failing(client, await client.invoke("hold"))
    await client.invoke("burst", [held, 0, 3])
    say(held.got)
    client.close()


class Asking(Watcher):
    async def on_notified(self, value):
        self.got.append(await self.client.invoke(0, value * 10))


@scenario
async def a_call_from_a_notification():
    client = await opened()
    held = Asking(client, await client.invoke("hold"))
    held.client = client
    await client.invoke("burst", [held, 1, 3])
    await until(lambda: len(held.got) == 3)
    say(held.got)
    client.close()


@scenario
async def a_burst_beyond_the_bound_drops_the_oldest_and_counts():
    client, held = await setting()
    say(await client.invoke("burst", [held, 0, 100]))
    say(held.got == list(range(36, 100)), held.dropped)
    say(await client.invoke("burst", [held, 100, 3]), held.got[-3:], held.dropped)
    client.close()


@scenario
async def a_queue_of_five():
    client, held = await setting(queue=5)
    await client.invoke("burst", [held, 0, 20])
    say(held.got, held.dropped)
    client.close()


@scenario
async def drop_newest():
    client, held = await setting(queue=5, overflow="drop_newest")
    await client.invoke("burst", [held, 0, 20])
    say(held.got, held.dropped)
    await client.invoke("burst", [held, 20, 2])
    say(held.got, held.dropped)
    client.close()


@scenario
async def close_on_overflow():
    client, held = await setting(queue=5, overflow="close")
    await client.invoke("burst", [held, 0, 5])
    say(held.got)
    say(await attempt(client.invoke("burst", [held, 5, 20])))
    await until(lambda: held.is_closed)
    say(held.got, held.dropped)
    say(await client.invoke("held"))
    client.close()


@scenario
async def four_kilobytes_are_kept():
    client, held = await setting()
    for _ in range(3):
        await client.invoke("notify", [held, b"x" * 1000])
    say([len(value) for value in held.got])
    client.close()


@scenario
async def one_that_is_too_large_is_the_senders_mistake():
    client, held = await setting()
    say(await attempt(client.invoke("notify_big", [held, 5000])))
    say(await attempt(client.invoke("notify_object", [held])))
    say(held.got)
    client.close()


@scenario
async def on_a_closed_resource_it_is_the_senders_mistake():
    client, held = await setting()
    say(await attempt(client.invoke("notify_closed", [held])))
    await until(lambda: held.is_closed)
    say(held.got)
    client.close()


@scenario
async def a_closed_proxy_gets_nothing_more():
    client, held = await setting()
    second = Watcher(client, await client.invoke("hold"))
    await client.invoke("notify", [second, 1])
    handle = held.handle
    held.close()
    say(await attempt(client.invoke("notify", [handle, 1])))
    await client.invoke("notify", [second, 2])
    say(held.got, second.got)
    client.close()


class Telling(Watcher):
    """Tells the lab how far it is, every 16 notifications."""

    in_order = 0

    async def on_notified(self, value):
        if value == self.in_order:
            self.in_order += 1
        if value % 16 == 15:
            await self.client.invoke("told", [value + 1])


@scenario
async def ten_thousand_under_the_bound_are_all_delivered():
    client = await opened()
    held = Telling(client, await client.invoke("hold"))
    held.client = client
    count = await client.invoke("paced", [held, 10000, 48], timeout_ms=None)
    await until(lambda: held.in_order == count)
    say(count, held.got, held.dropped)
    client.close()


@scenario
async def ten_thousand_above_the_bound_are_all_counted():
    client, held = await setting()
    for first in range(0, 10000, 1000):
        await client.invoke("burst", [held, first, 1000])
    say(len(held.got), held.dropped, held.got == sorted(held.got), held.got[-1])
    client.close()
    await happened("client closed")
