# An app's record: what it is, what it owns and how it ended.
# Every task, provider, client, file, socket and peripheral belongs to exactly one record.

from micropython import const

from kodkod.channel import Signal

_STEP_LIMIT_MS = const(2000)
_GRACE_MS = const(2000)


class App:
    """One running app. Made by the scheduler; `kodkod.spawn` returns it to the parent.

    `name`, `gid` (unique number of this instance), `reason` (None while it runs, then "ended",
    "failed", "stopped", "runaway" or "memory") and `code` (0 ended or stopped; n of sys.exit(n)
    modulo 256; 1 exception, runaway or memory).
    """

    def __init__(self, kernel, name, gid, parent=None):
        self.kernel = kernel
        self.name = name
        self.gid = gid
        self.tasks = set()  # what it lives by
        self.background = set()  # what goes with it
        self.owned = []  # objects with close(), in the order they were taken
        self.limit = _STEP_LIMIT_MS
        self.cpu_us = self.messages = 0
        self.code = self.reason = self.traceback = None
        self.verdict = None  # (reason, code) once the end is decided
        self.main = None  # its first task
        self.run = None  # what asyncio.run in a module's body handed over
        self.loading = False
        self.changed = Signal()  # its tasks are all done; it has ended
        self.on_end = None
        self.defines = {}
        self.names = ()  # of its own top-level modules
        self.modules = {}
        self.facades = {}  # its view of modules that are not its own
        self.console = None  # what serves it when its code is typed: write(text), run(coro)
        self.image = None  # id of the image it runs
        self.dir = self.data = self.permissions = None
        if parent:
            self.dir = parent.dir
            self.data = parent.data
            self.names = parent.names
            self.modules = parent.modules
            self.defines = parent.defines
            self.permissions = parent.permissions

    @property
    def is_running(self):
        """False once everything it owned is closed."""
        return self.reason is None

    def own(self, thing):
        """Enter `thing` (it has a plain `close()`) into the record; returns it."""
        self.owned.append(thing)
        return thing

    async def wait(self):
        """Wait for the end; returns the exit code."""
        while self.reason is None:
            await self.changed.wait()
        return self.code

    async def stop(self, grace_ms=_GRACE_MS):
        """Cancel the app's tasks, give their `finally` blocks `grace_ms`, then end it by force."""
        self.kernel.end(self, "stopped", 0, grace_ms=grace_ms)
        if self.kernel.current is not self:  # one's own end comes as a cancellation
            await self.wait()
