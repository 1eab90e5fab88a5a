"""A kernel of several owners in one asyncio loop, for the tests of services: what an app is to
the scheduler, `Owner` is here. Its tasks run as it; what leaves them is kept in `failures`."""

import asyncio
from asyncio import core

from kodkod import errors
from kodkod.services import kernel as _k
from kodkod.services import registry

_create_task = core.create_task


class Owner:
    count = 0

    def __init__(self, name="app", permissions=None):
        Owner.count += 1
        self.gid = Owner.count
        self.name = f"{name}{self.gid}"
        self.permissions = permissions
        self.tasks = []
        self.running = True
        self.reason = None

    def run(self, coro):
        """A task of this owner."""
        return _k.kernel.task(self, coro)

    def end(self, reason="ended"):
        """Ends it as the scheduler does: nothing of it runs after this."""
        if self.running:
            self.running = False
            self.reason = reason
            for steps in self.tasks:
                if steps.task is not core.cur_task:
                    steps.task.cancel()
            registry.close_owned(self)


class _Steps:
    """A coroutine that runs as its owner."""

    def __init__(self, kernel, owner, coro):
        self.kernel = kernel
        self.owner = owner
        self.coro = coro

    def send(self, value):
        return self._step(self.coro.send, value)

    def throw(self, exc, *rest):
        return self._step(self.coro.throw, exc)

    def close(self):
        self.coro.close()

    def _step(self, function, value):
        kernel = self.kernel
        outer, kernel.current = kernel.current, self.owner
        try:
            return function(value)
        except (StopIteration, asyncio.CancelledError):
            self.owner.tasks.remove(self)
            raise
        except BaseException as e:
            self.owner.tasks.remove(self)
            kernel.failures.append((self.owner, e))
            if kernel.strict:
                kernel.log_exception(self.owner, e, "a task failed")
            self.owner.end("failed")
            raise StopIteration
        finally:
            kernel.current = outer


class Kernel:
    current = None
    shield = 0

    def __init__(self, strict=True):
        self.failures = []
        self.logged = []
        self.released_owners = []
        self.strict = strict
        self.background = []

    def call(self, owner, function, *args):
        if owner and not owner.running:
            raise errors.ServiceClosed("its app has ended")
        outer, self.current = self.current, owner
        try:
            return function(*args)
        except MemoryError as e:
            return self._fatal(owner, e)
        except Exception:
            raise
        except BaseException as e:
            return self._fatal(owner, e)
        finally:
            self.current = outer

    def call4(self, owner, function, a, b, c, d):
        return self.call(owner, function, a, b, c, d)

    def _fatal(self, owner, exc):
        self.failures.append((owner, exc))
        owner.end("failed")
        raise errors.ServiceClosed("its app has ended")

    def task(self, owner, coro, background=False):
        assert owner.running, f"a task for {owner.name}, which has ended"
        steps = _Steps(self, owner, coro)
        steps.task = _create_task(steps)
        owner.tasks.append(steps)
        if background:
            self.background.append(steps)
        return steps.task

    def log(self, owner, level, text):
        self.logged.append((owner, text))

    def log_exception(self, owner, exc, what):
        self.logged.append((owner, exc, what))
        if self.strict:
            import sys

            print(what)
            sys.print_exception(exc)

    def released(self, owner):
        self.released_owners.append(owner)


def run(main, *args, strict=False, leftovers=False):
    """Runs `main(kernel, *args)`, then requires that nothing is left anywhere."""
    kernel = _k.kernel = Kernel(strict)
    core.create_task = asyncio.create_task = lambda coro: (
        kernel.task(kernel.current, coro) if kernel.current else _create_task(coro)
    )
    registry.providers.clear()
    registry._waiting.clear()
    try:
        return asyncio.run(main(kernel, *args))
    finally:
        core.create_task = asyncio.create_task = _create_task
        core._task_queue = core.TaskQueue()
        assert kernel.shield == 0, f"shield {kernel.shield}"


async def settle(rounds=6):
    """Lets every task that can go on do so."""
    for _ in range(rounds):
        await asyncio.sleep_ms(0)
