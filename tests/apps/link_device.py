# A device for the tests of the link: serves one port with a service that does what it is told.
# Arguments: port, key (hex), and whether it runs under the "kernel" or "plain" asyncio.

import asyncio
import gc
import sys

from kodkod.link import tcp
from kodkod.services import ServiceProvider, ServiceResource, ServiceSelector
from kodkod.errors import UnknownMethod

UUID = "5a1e0a9c-6c1d-4a86-9c0e-0123456789ab"


class Stream(ServiceResource):
    def __init__(self, provider, client):
        super().__init__(provider, client, notifiable=True)

    def on_closed(self):
        Test.closed += 1


class Test(ServiceProvider):
    closed = cancelled = opened = ended = 0
    kernel = None

    def __init__(self):
        super().__init__("test/link", 1, 2, 3)
        self.provides(ServiceSelector(UUID, 1, 2), handler=self)
        self.sink = 0

    def on_opened(self, client):
        Test.opened += 1

    def on_closed(self, client):
        Test.ended += 1

    def handle(self, index, arguments, gid, client):
        method = getattr(self, "do_" + str(index), None)
        if method is None:
            raise UnknownMethod("test/link has no method {}".format(index))
        return method(client, *(arguments or ()))

    def do_echo(self, client, value):
        return value

    def do_none(self, client):
        return None

    def do_write(self, client, data):
        self.sink += len(data)

    def do_state(self, client):
        gc.collect()
        return {
            "sink": self.sink,
            "closed": Test.closed,
            "cancelled": Test.cancelled,
            "opened": Test.opened,
            "ended": Test.ended,
            "clients": len(self._sessions),
            "resources": len(self.resources()),
            "ticks": ticks,
            "gap": gap,
            "used": gc.mem_alloc(),
            "apps": [app.name for app in self.kernel.apps] if self.kernel else [],
        }

    async def do_sleep(self, client, ms, value=None):
        try:
            await asyncio.sleep_ms(ms)
        except asyncio.CancelledError:
            Test.cancelled += 1
            raise
        return value

    def do_fail(self, client, kind="ValueError"):
        raise {"ValueError": ValueError, "KeyError": KeyError}[kind]("as asked")

    def do_big(self, client, size):
        return b"x" * size

    def do_open(self, client):
        return Stream(self, client)

    def do_notify(self, client, handle, first, count, close=False):
        # All in one step.
        stream = self.resource(client, handle)
        for i in range(first, first + count):
            stream.notify(i)
        if close:
            stream.close()

    async def do_flood(self, client, handle, count, size):
        stream = self.resource(client, handle)
        for i in range(count):
            stream.notify([i, b"n" * size])
            if i % 8 == 0:
                await asyncio.sleep_ms(0)

    def do_shut(self, client, handle):
        self.resource(client, handle).close()

    def do_leave(self, client):
        asyncio.create_task(self.leave())

    async def leave(self):
        await asyncio.sleep_ms(20)
        self.uninstall()
        await asyncio.sleep_ms(200)
        self.install()


ticks = gap = 0


async def ticker():
    global ticks, gap
    from time import ticks_diff, ticks_ms

    last = ticks_ms()
    while True:
        await asyncio.sleep_ms(10)
        now = ticks_ms()
        gap = max(gap, ticks_diff(now, last))
        last = now
        ticks += 1


def serve(start_app):
    hello = {"name": "desk", "id": "0011223344556677", "kodkod": "0.1.0"}
    key = bytes.fromhex(sys.argv[2])
    return tcp.serve(int(sys.argv[1]), key, hello, start_app, host="127.0.0.1")


async def app():
    Test().install()
    await ticker()


async def plain():
    asyncio.create_task(app())
    await serve(lambda name, coro: asyncio.create_task(coro))


def under_kernel():
    from kodkod.apps import kernel as kernels

    kernel = kernels.start()
    Test.kernel = kernel
    kernel.start(kernel.app("test"), app())
    start_app = lambda name, coro: kernel.start(kernel.app(name), coro)
    kernel.task(kernel.system, serve(start_app))
    kernel.run()


if sys.argv[3] == "plain":
    asyncio.run(plain())
else:
    under_kernel()
