# What services needs of whoever runs the apps: the scheduler puts its own object into `kernel`.
# The one made here serves a plain asyncio program, which is one app.
import sys

from asyncio import core


class Main:
    """An owner, as services sees one. `permissions`: names and uuids it may open; None: all."""

    gid = 1
    name = "main"
    permissions = None


class Kernel:
    """The plain kernel: one owner, no limits."""

    # The owner whose code runs now; None is the kernel itself.
    current = Main
    # While it is not 0 the guard interrupts nobody: kernel state is half changed.
    shield = 0

    def call(self, owner, function, *args):
        """Runs a plain function as `owner`. Whatever is no Exception, and MemoryError, ends the
        owner and leaves here as ServiceClosed."""
        return function(*args)

    def call4(self, owner, function, a, b, c, d):
        """`call` for handlers, which all take four arguments: *args would cost another 0.7 us."""
        return function(a, b, c, d)

    def task(self, owner, coro, background=False):
        """A task of `owner`; one in the background does not keep it alive."""
        return core.create_task(coro)

    def log(self, owner, level, text):
        print(level, text)

    def log_exception(self, owner, exc, what):
        print(what)
        sys.print_exception(exc)

    def released(self, owner):
        """A provider of `owner` is gone: it may have been its last reason to live."""


kernel = Kernel()


def hook(owner, function, *args):
    """Runs a hook of an app as that app. Its failure is a line in its log, nobody else's."""
    k = kernel
    try:
        result = k.call(owner, function, *args)
        if hasattr(result, "__next__"):
            k.task(owner, _finish(owner, result), True)
    except Exception as e:
        k.log_exception(owner, e, "hook failed")


async def _finish(owner, work):
    try:
        await work
    except Exception as e:
        kernel.log_exception(owner, e, "hook failed")
