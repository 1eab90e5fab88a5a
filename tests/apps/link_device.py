# A device for the tests of the link: serves one port with a service that does what it is told.
# Arguments: port, key (hex), and whether it runs under the "kernel" or "plain" asyncio, or
# plain as well, with the connection to that port as its "console".

import asyncio
import gc
import sys

from time import ticks_ms

from kodkod import link
from kodkod.link import tcp
from kodkod.link.frames import Splitter
from kodkod.link.line import Line, welcome
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
        self.numbers = []

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

    def do_number(self, client, number):
        self.numbers.append(number)

    def do_numbers(self, client):
        numbers, self.numbers = self.numbers, []
        return numbers

    def do_state(self, client):
        gc.collect()
        return {
            "sink": self.sink,
            "closed": Test.closed,
            "cancelled": Test.cancelled,
            "opened": Test.opened,
            "ended": Test.ended,
            "clients": len(self.sessions_),
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
    from time import ticks_diff

    last = ticks_ms()
    while True:
        await asyncio.sleep_ms(10)
        now = ticks_ms()
        gap = max(gap, ticks_diff(now, last))
        last = now
        ticks += 1


HELLO = {"name": "desk", "id": "0011223344556677", "kodkod": "0.1.0"}


def serve(start_app):
    key = bytes.fromhex(sys.argv[2])
    return tcp.serve(int(sys.argv[1]), key, HELLO, start_app, host="127.0.0.1")


class ConsoleCarrier:
    # The least that a console has to do for a session.

    def __init__(self, line, write):
        self.line = line
        self.write = write
        self.arrived = []
        self.event = asyncio.Event()
        self.closed = False

    def feed(self, packet):
        payload = self.line.feed(packet, ticks_ms())
        if payload is not None:
            self.arrived.append(payload)
            self.event.set()

    def flush(self):
        while True:
            data = self.line.poll(ticks_ms())
            if data is None:
                break
            self.write(data)

    async def receive(self):
        while not self.arrived:
            if self.closed:
                raise EOFError
            self.event.clear()
            await self.event.wait()
        return self.arrived.pop(0)

    async def send(self, payload):
        while self.line.waiting > 8:
            await asyncio.sleep_ms(5)
        self.line.send(payload)
        self.flush()

    def close(self):
        self.closed = True
        self.event.set()


async def console(start_app):
    # A socket stands for the console: bytes as they come, between text.
    reader, _ = await asyncio.open_connection("127.0.0.1", int(sys.argv[1]))
    sock = reader.s

    def write(data):
        while data:
            data = data[sock.write(data) or 0 :]

    splitter = Splitter(200, lambda data: None)
    carrier = None
    tag = 0
    last = None

    async def tick():
        while True:
            await asyncio.sleep_ms(50)
            if carrier:
                carrier.flush()

    asyncio.create_task(tick())
    write(b"boot: hello\r\n")
    while True:
        data = await reader.read(100)
        if not data:
            return
        for packet in splitter.feed(data):
            opening = welcome(packet, tag % 100 + 1)
            if opening:
                nonce, answer, begins = opening
                if nonce == last:
                    answer = welcome(packet, tag)[1]
                elif begins:
                    tag = tag % 100 + 1
                    last = nonce
                    if carrier:
                        carrier.close()
                    carrier = ConsoleCarrier(Line(tag, 60, 480), write)
                    start_app("host:console", link.serve(carrier, HELLO))
                write(answer)
            elif carrier:
                carrier.feed(packet)
        if carrier:
            carrier.flush()
            write(b"a log line\n")


async def app():
    Test().install()
    await ticker()


async def plain():
    asyncio.create_task(app())
    await (console if sys.argv[3] == "console" else serve)(
        lambda name, coro: asyncio.create_task(coro)
    )


def under_kernel():
    from kodkod.apps import begin

    kernel = begin.start()
    Test.kernel = kernel
    kernel.begin("test", app())
    kernel.task(kernel.system, serve(kernel.begin))
    kernel.run()


if sys.argv[3] == "kernel":
    under_kernel()
else:
    asyncio.run(plain())
