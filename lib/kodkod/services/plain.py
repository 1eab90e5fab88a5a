# The kernel of a plain asyncio program: one owner, no limits. What each method has to do.
import sys
from asyncio import core


class Main:
    """An owner."""

    gid = 1
    name = "main"
    # The names and uuids of the services that it may open; None: all.
    permissions = None
    messages = 0
    # Not None once its end is decided: what is cancelled then ends as ServiceClosed.
    verdict = None


class Kernel:
    # The owner whose code runs now; None is the kernel itself.
    current = Main
    # While it is not 0 the guard interrupts nobody.
    shield = 0
    # Whether an owner has used a service: then links leave what services are made of where it is.
    served = True

    def call(self, owner, function, *args):
        """Runs a plain function as `owner`: its time, its limit. SystemExit, KeyboardInterrupt,
        MemoryError and the like end the owner and leave here as ServiceClosed."""
        return function(*args)

    def call4(self, owner, function, a, b, c, d):
        """`call` for handlers, which take four arguments: *args would cost another 0.7 us."""
        return function(a, b, c, d)

    def task(self, owner, coro, background=False):
        """A task of `owner`; one in the background does not keep it alive."""
        return core.create_task(coro)

    def maker(self, owner, task):
        """The id of the task in the background that has made `task`, if that is known."""

    def log_exception(self, owner, exc, what):
        print(what)
        sys.print_exception(exc)

    def released(self, owner):
        """A provider of `owner` is gone: it may have been its last reason to live."""
