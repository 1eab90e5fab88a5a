"""Waiting between the tasks of one loop: the counterparts of `kodkod.channel` for CPython."""

from __future__ import annotations

import asyncio
import collections
import contextlib
from typing import Any


class Signal:
    """Tasks wait for a change; whoever makes it wakes them all, and each looks for itself."""

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[None]] = []

    def set(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, timeout_ms: float | None = None) -> None:
        """Until the next `set`, or for `timeout_ms`."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(waiter, None if timeout_ms is None else timeout_ms / 1000)
        finally:
            self._waiters.remove(waiter)


class Channel(Signal):
    """A queue of at most `capacity` values between tasks. `dropped` counts refusals."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError("a channel needs a capacity of 1 or more")
        super().__init__()
        self.capacity = capacity
        self.dropped = 0
        self._values: collections.deque[Any] = collections.deque()

    def __len__(self) -> int:
        return len(self._values)

    def try_send(self, value: Any) -> bool:
        """True when it was taken; False, and counted in `dropped`, when the channel is full."""
        if len(self._values) >= self.capacity:
            self.dropped += 1
            return False
        self._values.append(value)
        self.set()
        return True

    async def send(self, value: Any) -> None:
        """Waits for room."""
        while len(self._values) >= self.capacity:
            await self.wait()
        self.try_send(value)

    async def receive(self) -> Any:
        """Waits for a value; the oldest comes first."""
        while not self._values:
            await self.wait()
        value = self._values.popleft()
        self.set()
        return value
