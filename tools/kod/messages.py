"""The messages of a link, with their numbers, and how much of them a device takes at once."""

from __future__ import annotations

from concurrent.futures import Future, InvalidStateError
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

# The kinds of messages; lib/kodkod/link/session.py has them on the device.
OPEN, INVOKE, CLOSE, PING, CANCEL, CREDIT, BYE = range(1, 8)
HELLO, REPLY, ERROR, NOTE, CLOSED = range(8, 13)

PAYLOAD = 2048
LEVELS = 17  # a value's own 16 and the message around it
MAX_REQUESTS = 16
MAX_REQUEST_BYTES = 2560

CALL_MS = 10_000
OPEN_MS = 5_000


class Request:
    """A numbered message and what becomes of it."""

    def __init__(self, content: list[Any], payload: bytes, timeout_ms: int | None) -> None:
        self.kind: int = content[0]
        self.number: int = content[1]
        # The number of the client that it concerns.
        self.client: int | None = None
        if self.kind != PING:
            self.client = self.number if self.kind == OPEN else content[2]
        self.payload = payload
        # What it takes of the device's room for calls until it is answered.
        self.size = len(payload) if self.kind in (OPEN, INVOKE) else 0
        self.timeout_ms = timeout_ms
        self.future: Future[Any] = Future()
        self.timer: asyncio.TimerHandle | None = None

    def settle(self, result: Any = None, error: BaseException | None = None) -> bool:
        """Give the waiting side its end; False when it has one already."""
        if self.timer:
            self.timer.cancel()
        if self.future.done():
            return False
        try:
            if error is None:
                self.future.set_result(result)
            else:
                self.future.set_exception(error)
        except InvalidStateError:  # cancelled this very moment
            return False
        return True
