"""A kernel of several owners in one asyncio loop, for the tests of services: what an app is to
the scheduler, `Owner` is here. Its tasks run as it; what leaves them is kept in `failures`."""

import asyncio
from asyncio import core

from kodkod import errors
from kodkod.services import (
    ServiceClient,
    ServiceProvider,
    ServiceResource,
    ServiceResourceProxy,
    ServiceSelector,
    registry,
)
from kodkod.services import kernel as _k

UUID = "b8c5ca0e-1bd7-4d24-9a0b-1d2a8f3c7e55"
_create_task = core.create_task


class Owner:
    all = []
    messages = 0

    def __init__(self, name="app", permissions=None):
        Owner.all.append(self)
        self.gid = len(Owner.all)
        self.name = f"{name}{self.gid}"
        self.permissions = permissions
        self.tasks = []
        self.running = True
        self.reason = self.verdict = None

    def run(self, coro):
        """A task of this owner."""
        return _k.kernel.task(self, coro)

    def end(self, reason="ended"):
        """Ends it as the scheduler does: nothing of it runs after this."""
        if self.running:
            self.running = False
            self.reason = self.verdict = reason
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
            if isinstance(e, Exception) and self.task.state is not True:
                raise  # to the task that awaits it
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
        steps.maker = id(core.cur_task) >> 2
        owner.tasks.append(steps)
        if background:
            self.background.append(steps)
        return steps.task

    def maker(self, owner, task):
        return {steps.task: steps.maker for steps in owner.tasks}.get(task)

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


def run(main, *args, strict=False):
    """Runs `main(kernel, *args)` as an owner; then ends all owners and requires that nothing of
    them is left anywhere. Returns what main returned."""
    asyncio.new_event_loop()
    return asyncio.run(_run(main, args, strict))


def scenario(main):
    """A test `async def test_...(kernel)` for `run`."""
    return lambda: run(main)


async def _run(main, args, strict):
    kernel = _k.kernel = Kernel(strict)
    core.create_task = asyncio.create_task = lambda coro: (
        kernel.task(kernel.current, coro) if kernel.current else _create_task(coro)
    )
    registry.providers.clear()
    registry.changed._tasks.clear()
    Owner.all = []
    try:
        result = await Owner("test").run(main(kernel, *args))
        for owner, exc in kernel.failures:
            if owner.name.startswith("test"):
                raise exc
        for owner in Owner.all:
            owner.end()
        await settle()
        assert not registry.providers, "a provider is left"
        assert not registry.changed._tasks, "a waiting open is left"
        for owner in Owner.all:
            assert not owner.tasks, f"{owner.name} has {len(owner.tasks)} tasks left"
        assert core._task_queue.peek() is None, "a task is left"
        assert kernel.shield == 0, f"shield {kernel.shield}"
        return result
    finally:
        core.create_task = asyncio.create_task = _create_task


async def settle(rounds=8):
    """Lets every task that can go on do so."""
    for _ in range(rounds):
        await asyncio.sleep_ms(0)


class Provider(ServiceProvider):
    """Provides UUID 1.0 and answers with its method `on_INDEX(arguments, client)`; `events`
    tells what it saw."""

    def __init__(self, name="provider", events=None, uuid=UUID, version=(1, 0), **options):
        super().__init__(name, 1, 2, 3)
        self.events = [] if events is None else events
        self.provides(ServiceSelector(uuid, *version), self, **options)

    def handle(self, index, arguments, gid, client):
        return getattr(self, f"on_{index}")(arguments, client)

    def on_echo(self, arguments, client):
        return arguments

    async def on_later(self, arguments, client):
        await asyncio.sleep_ms(0)
        return arguments

    async def on_sleep(self, arguments, client):
        self.events.append("started")
        try:
            await asyncio.sleep_ms(arguments)
            self.events.append("finished")
            return "slept"
        except asyncio.CancelledError:
            self.events.append("cancelled")
            raise

    def on_open(self, arguments, client):
        return Resource(self, client, arguments)

    def on_notify(self, arguments, client):
        handle, values = arguments
        for value in values:
            self.resource(client, handle).notify(value)

    def on_close(self, arguments, client):
        self.resource(client, arguments).close()

    def on_opened(self, client):
        self.events.append("opened")

    def on_closed(self, client):
        self.events.append("client closed")


class Resource(ServiceResource):
    """Tells its provider's events of its end, by its label."""

    def __init__(self, provider, client, label="resource", notifiable=True):
        super().__init__(provider, client, notifiable)
        self.label = label
        self.provider = provider

    def on_closed(self):
        self.provider.events.append(f"{self.label} closed")


class Proxy(ServiceResourceProxy):
    """`got`: its notifications, and last ("closed", reason)."""

    def __init__(self, client, handle):
        self.got = []
        super().__init__(client, handle)

    def on_notified(self, value):
        self.got.append(value)

    def on_closed(self, reason):
        self.got.append(("closed", reason))


def installed(owner, *args, **options):
    """A Provider that `owner` has installed."""
    provider = options.pop("kind", Provider)(*args, **options)
    _k.kernel.call(owner, provider.install)
    return provider


def client(uuid=UUID, **options):
    return ServiceClient(ServiceSelector(uuid, 1, 0), **options)


async def opened(uuid=UUID, **options):
    return await client(uuid, **options).open()


async def proxy(client, label="resource"):
    return Proxy(client, await client.invoke("open", label))
