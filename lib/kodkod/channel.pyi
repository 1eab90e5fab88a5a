from typing import Any

class Signal:
    """Tasks wait for a change; whoever makes it wakes them all, and each looks for itself."""

    def __init__(self) -> None: ...
    def set(self) -> None: ...
    async def wait(self, timeout_ms: int | None = None) -> None: ...

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

PARKED: object

def wake(task: Any) -> None:
    """Ends the wait of `task`. One that is being cancelled wakes by itself, and must stay so."""
