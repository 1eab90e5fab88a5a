# Channel and Signal: what tasks of one app wait with.
import asyncio

from harness import raises
from kodkod.channel import Channel, Signal


async def _fill(channel, *values):
    for value in values:
        await channel.send(value)


def test_a_channel_needs_room_for_one():
    with raises(ValueError):
        Channel(0)


def test_try_send_refuses_and_counts_when_full():
    channel = Channel(2)
    assert channel.try_send(1) and channel.try_send(2)
    assert not channel.try_send(3)
    assert not channel.try_send(4)
    assert channel.dropped == 2
    assert len(channel) == 2


async def test_values_come_in_order():
    channel = Channel(10)
    for n in range(10):
        assert channel.try_send(n)
    assert [await channel.receive()] == [0]
    got = []
    while len(channel):
        got.append(await channel.receive())
    assert got == [1, 2, 3, 4, 5, 6, 7, 8, 9]


async def test_none_is_a_value():
    channel = Channel(1)
    channel.try_send(None)
    assert await channel.receive() is None
    assert len(channel) == 0


async def test_receive_waits_for_a_value():
    channel = Channel(1)
    sender = asyncio.create_task(_fill(channel, "late"))
    assert await channel.receive() == "late"
    await sender


async def test_send_waits_for_room_and_drops_nothing():
    channel = Channel(1)
    sender = asyncio.create_task(_fill(channel, 1, 2, 3))
    await asyncio.sleep_ms(1)
    assert len(channel) == 1
    assert [await channel.receive(), 0][0] == 1
    assert await channel.receive() == 2
    assert await channel.receive() == 3
    await sender
    assert channel.dropped == 0


async def test_several_receivers_get_one_value_each():
    channel = Channel(4)
    got = []

    async def receive():
        got.append(await channel.receive())

    tasks = [asyncio.create_task(receive()) for _ in range(3)]
    await asyncio.sleep_ms(1)
    for n in range(3):
        channel.try_send(n)
    await asyncio.gather(*tasks)
    assert sorted(got) == [0, 1, 2]
    assert len(channel) == 0


async def test_a_cancelled_receiver_takes_no_value():
    channel = Channel(4)
    first = asyncio.create_task(channel.receive())
    await asyncio.sleep_ms(1)
    channel.try_send("kept")
    first.cancel()
    with raises(asyncio.CancelledError):
        await first
    assert await channel.receive() == "kept"
    assert not channel._tasks


async def test_a_cancelled_sender_sends_nothing():
    channel = Channel(1)
    channel.try_send(1)
    sender = asyncio.create_task(channel.send(2))
    await asyncio.sleep_ms(1)
    sender.cancel()
    with raises(asyncio.CancelledError):
        await sender
    assert await channel.receive() == 1
    assert len(channel) == 0
    assert not channel._tasks


async def test_receive_with_a_time_limit():
    channel = Channel(1)
    with raises(asyncio.TimeoutError):
        await asyncio.wait_for_ms(channel.receive(), 5)
    channel.try_send(1)
    assert await asyncio.wait_for_ms(channel.receive(), 5) == 1


async def test_a_signal_wakes_all_who_wait():
    signal = Signal()
    woken = []

    async def wait(n):
        await signal.wait()
        woken.append(n)

    tasks = [asyncio.create_task(wait(n)) for n in range(3)]
    await asyncio.sleep_ms(1)
    signal.set()
    await asyncio.gather(*tasks)
    assert sorted(woken) == [0, 1, 2]


async def test_a_signal_wait_ends_by_its_time_limit():
    signal = Signal()
    await signal.wait(2)
    assert not signal._tasks


async def test_waking_a_task_that_is_being_cancelled_keeps_the_cancellation():
    signal = Signal()
    task = asyncio.create_task(signal.wait())
    await asyncio.sleep_ms(1)
    task.cancel()
    signal.set()
    with raises(asyncio.CancelledError):
        await task
    assert not signal._tasks
