"""kod.services.Channel promises on CPython what kodkod.Channel does on a device."""

from __future__ import annotations

import asyncio

import pytest
from kod.services import Channel


def test_try_send_refuses_and_counts_when_full() -> None:
    channel = Channel(2)
    assert [channel.try_send(n) for n in range(4)] == [True, True, False, False]
    assert (len(channel), channel.dropped) == (2, 2)
    with pytest.raises(ValueError, match="capacity"):
        Channel(0)


def test_send_waits_for_room_and_receive_for_a_value() -> None:
    async def fill(channel: Channel) -> None:
        for n in range(5):
            await channel.send(n)

    async def main() -> None:
        channel = Channel(1)
        sender = asyncio.create_task(fill(channel))
        assert [await channel.receive() for _ in range(5)] == [0, 1, 2, 3, 4]
        await sender
        assert (len(channel), channel.dropped) == (0, 0)

    asyncio.run(main())


def test_who_is_cancelled_while_waiting_takes_and_sends_nothing() -> None:
    async def main() -> None:
        channel = Channel(1)
        receiver = asyncio.create_task(channel.receive())
        await asyncio.sleep(0)
        receiver.cancel()
        channel.try_send("kept")
        sender = asyncio.create_task(channel.send("not sent"))
        await asyncio.sleep(0)
        sender.cancel()
        assert await channel.receive() == "kept"
        await asyncio.sleep(0)
        assert len(channel) == 0

    asyncio.run(main())
