from typing import Any

from .signal import Signal as Signal

class Channel(Signal):
    """A queue of at most `capacity` values between tasks of one app. `dropped` counts refusals."""

    capacity: int
    dropped: int

    def __init__(self, capacity: int) -> None: ...
    def __len__(self) -> int: ...
    def try_send(self, value: Any) -> bool:
        """True when it was taken; False, and counted in `dropped`, when the channel is full."""

    async def send(self, value: Any) -> None:
        """Waits for room."""

    async def receive(self) -> Any:
        """Waits for a value; the oldest comes first."""
