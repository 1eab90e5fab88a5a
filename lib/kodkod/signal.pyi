from typing import Any

class Signal:
    """Tasks wait for a change; whoever makes it wakes them all, and each looks for itself."""

    def __init__(self) -> None: ...
    def set(self) -> None: ...
    async def wait(self, timeout_ms: int | None = None) -> None: ...

PARKED: object

def wake(task: Any) -> None:
    """Ends the wait of `task`. One that is being cancelled wakes by itself, and must stay so."""
