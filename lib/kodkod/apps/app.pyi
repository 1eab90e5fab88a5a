from typing import Any, Literal

class App:
    """One running app. Made by the scheduler; `kodkod.spawn` returns it to the parent."""

    name: str
    gid: int
    """Number of this instance; what the handlers of services get of their caller."""

    limit: int
    """Milliseconds that one step may take; 0: no limit."""

    code: int | None
    """0 ended or stopped; n of sys.exit(n) modulo 256; 1 exception, runaway or memory."""

    reason: Literal["ended", "failed", "stopped", "runaway", "memory"] | None
    """None while it runs."""

    traceback: str | None

    def __init__(self, kernel: Any, name: str, gid: int, parent: App | None = None) -> None: ...
    @property
    def is_running(self) -> bool:
        """False once everything it owned is closed."""

    def own(self, thing: Any) -> Any:
        """Enter `thing` (it has a plain `close()`) into the record; returns it."""

    async def wait(self) -> int:
        """Wait for the end; returns the exit code."""

    async def stop(self, grace_ms: int = 2000) -> None:
        """Cancel the app's tasks, give their `finally` blocks `grace_ms`, then end it by force."""
