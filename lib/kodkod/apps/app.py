# An app's record: what it is, what it owns and how it ended.
# Every task, provider, client, file, socket and peripheral belongs to exactly one record.

from micropython import const

from kodkod.signal import Signal

_STEP_LIMIT_MS = const(2000)
_GRACE_MS = const(2000)


class App:
    """One running app. Made by the scheduler; `kodkod.spawn` returns it to the parent.

    `name`, `gid` (unique number of this instance), `reason` (None while it runs, then "ended",
    "failed", "stopped", "runaway" or "memory") and `code` (0 ended or stopped; n of sys.exit(n)
    modulo 256; 1 exception, runaway or memory).
    """

    # What few apps change costs nothing until they do.
    cpu_s = 0  # the rest is in cpu_us
    run = None  # what asyncio.run in a module's body handed over
    loading = False
    busy = 0  # long steps of others for which it waits at most; its own are long
    on_end = None
    image = None  # id of the image it runs
    console = None  # what serves it when its code is typed: write(text), run(coro)
    dir = data = permissions = None
    path = cwd = None  # its sys.path and working directory, once they are asked for
    names = ()  # of its own top-level modules

    def __init__(self, kernel, name, gid, parent=None):
        self.kernel = kernel
        self.name = name
        self.gid = gid
        # Dicts: a set of MicroPython that finds no memory to grow is broken for good.
        self.tasks = {}  # what it lives by, with the id of its maker
        self.background = {}  # what goes with it
        self.owned = []  # objects with close(), in the order they were taken
        self.changed = Signal()  # its tasks are all done; it has ended
        self.modules = {}
        self.facades = {}  # its view of modules that are not its own
        self.defines = {}
        self.origin = name  # the app of whose image it is
        # Here, since a place for what has none takes memory, and the end is to need little.
        self.cpu_us = self.messages = 0
        self.code = self.reason = self.traceback = None
        self.verdict = None  # (reason, code) once the end is decided
        self.limit = _STEP_LIMIT_MS
        self.main = None  # its first task
        if parent:
            self.origin = parent.origin
            self.image = parent.image
            self.dir = parent.dir
            self.data = parent.data
            self.path = parent.path
            self.names = parent.names
            self.modules = parent.modules
            self.facades = parent.facades
            self.defines = parent.defines
            self.permissions = parent.permissions

    @property
    def is_running(self):
        """False once everything it owned is closed."""
        return self.code is None

    def own(self, thing):
        """Enter `thing` (it has a plain `close()`) into the record; returns it."""
        self.owned.append(thing)
        return thing

    async def wait(self):
        """Wait for the end; returns the exit code."""
        while self.code is None:
            await self.changed.wait()
        return self.code

    async def stop(self, grace_ms=_GRACE_MS):
        """Cancel the app's tasks, give their `finally` blocks `grace_ms`, then end it by force."""
        self.kernel.end(self, "stopped", 0, grace_ms=grace_ms)
        if self.kernel.current is not self:  # one's own end comes as a cancellation
            await self.wait()
