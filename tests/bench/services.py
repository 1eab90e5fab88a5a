# What a service call costs, beside a plain awaited coroutine, on a heap of a device's size:
#     MICROPYPATH=lib:.frozen micropython -X heapsize=512k tests/bench/services.py [kernel]
# One line a case: microseconds with the collector at work, bytes of garbage, ratio to the first,
# and the budgets (the one for garbage is for 32-bit objects, half of what 64-bit ones need).
# With `kernel` client and provider are two apps, else one plain asyncio program.
import asyncio
import gc
import sys
from time import ticks_diff, ticks_us

from kodkod import connect, service
from kodkod.services import (
    ServiceClient,
    ServiceProvider,
    ServiceResource,
    ServiceResourceProxy,
    ServiceSelector,
)

SELECTOR = ServiceSelector("bench", 1, 0)
ROUNDS = 1800
BURST = 10
REPEATS = 12


class Provider(ServiceProvider):
    def __init__(self):
        super().__init__("bench", 1, 0)
        self.provides(SELECTOR, self)
        self.resources_of = {}

    def handle(self, index, arguments, gid, client):
        if index == 0:
            return arguments
        if index == 1:
            return self.later(arguments)
        if index == 2:
            resource = self.resources_of[client] = ServiceResource(self, client, notifiable=True)
            return resource
        if index == 3:
            return self.stream(self.resources_of[client], *arguments)
        if index == 4:
            self.resources_of[client].notify(arguments)

    async def stream(self, resource, rounds, burst):
        for _ in range(rounds // burst):
            for n in range(burst):
                resource.notify(n)
            await asyncio.sleep_ms(0)

    async def later(self, arguments):
        return arguments


class Proxy(ServiceResourceProxy):
    count = 0

    def on_notified(self, value):
        self.count += 1


async def plain(value):
    return value


class Queue:
    def __init__(self):
        self.values = []
        self.filled = asyncio.Event()

    def put(self, value):
        self.values.append(value)
        self.filled.set()

    async def get(self):
        while not self.values:
            self.filled.clear()
            await self.filled.wait()
        return self.values.pop(0)


async def serve(requests, replies):
    while True:
        replies.put(await requests.get())


async def case_plain(_, rounds):
    for n in range(rounds):
        await plain(n)


async def case_queues(_, rounds):
    requests, replies = Queue(), Queue()
    server = asyncio.create_task(serve(requests, replies))
    for n in range(rounds):
        requests.put(n)
        await replies.get()
    server.cancel()


async def case_sync(client, rounds):
    for n in range(rounds):
        await client.invoke(0, n)


async def case_async(client, rounds):
    for n in range(rounds):
        await client.invoke(1, n)


async def case_text(client, rounds):
    for _ in range(rounds):
        await client.invoke(0, "twenty bytes of text")


async def case_list(client, rounds):
    value = [1, "two", 3.0]
    for _ in range(rounds):
        await client.invoke(0, value)


async def notify(client, rounds, burst):
    """The provider notifies and lets the proxy's app run, in bursts."""
    proxy = Proxy(client, await client.invoke(2))
    rounds = rounds // burst * burst
    await client.invoke(3, [rounds, burst])
    assert proxy.count == rounds, proxy.count
    proxy.close()


async def case_notify(client, rounds):
    await notify(client, rounds, 1)


async def case_burst(client, rounds):
    await notify(client, rounds, BURST)


async def case_backlog(client, rounds):
    await notify(client, rounds, 60)


async def case_echo(client, rounds):
    # A call returns when what its handler sent is delivered.
    proxy = Proxy(client, await client.invoke(2))
    for n in range(rounds):
        await client.invoke(4, n)
    assert proxy.count == rounds
    proxy.close()


async def case_open(_, rounds):
    for _ in range(rounds):
        client = await ServiceClient(SELECTOR).open()
        client.close()


async def garbage_of(case, client):
    """Bytes of garbage of one round."""
    await case(client, 60)
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    await case(client, 30)
    garbage = (gc.mem_alloc() - before) / 30
    gc.enable()
    return garbage


async def time_of(case, clients):
    """Microseconds of one round, with `clients` tasks at it at once."""
    rounds = ROUNDS // len(clients) // 60 * 60 or 60
    gc.collect()
    started = ticks_us()
    if len(clients) == 1:
        await case(clients[0], rounds)
    else:
        await asyncio.gather(*[case(client, rounds) for client in clients])
    return ticks_diff(ticks_us(), started) / (rounds * len(clients))


async def measure(cases, clients):
    """{case: (microseconds, garbage)}. All cases are gone through again and again, and the best
    of each counts: what else the machine does falls on all of them alike then."""
    garbage = {}
    for case in cases:
        garbage[case] = await garbage_of(case, clients[0])
    best = {}
    for _ in range(REPEATS):
        for case in cases:
            took = await time_of(case, clients)
            best[case] = min(best.get(case, took), took)
    return {case: (best[case], garbage[case]) for case in cases}


async def case_style(_, rounds):
    async with connect("bench/style") as remote:
        for n in range(rounds):
            await remote.echo(n)


CASES = (
    ("plain awaited coroutine", case_plain),
    ("two queues, two switches", case_queues),
    ("call, sync handler, int", case_sync),
    ("call, sync handler, text", case_text),
    ("call, sync handler, list", case_list),
    ("call, async handler", case_async),
    ("second style, int", case_style),
    ("notification, singly", case_notify),
    ("notification, burst of 10", case_burst),
    ("notification, burst of 60", case_backlog),
    ("call that notifies its client", case_echo),
    ("open + close", case_open),
)

# 160 bytes with 32-bit objects.
GARBAGE = 160 if sys.maxsize < 1 << 32 else 320
BUDGETS = {
    case_sync: ((case_plain, 5, "the first"), (case_queues, 0.5, "the queues")),
    case_style: ((case_sync, 1.2, "a call"),),
    case_notify: ((case_sync, 4, "a call"),),
    case_burst: ((case_sync, 1.5, "a call"),),
}


async def main():
    for count in (1, 10, 50):
        clients = []
        for _ in range(count):
            clients.append(await ServiceClient(SELECTOR).open())
        print(f"clients: {count}")
        taken = await measure([case for _, case in CASES], clients)
        for name, case in CASES:
            print(f"{name:<30}" + figures(case, taken))
        for client in clients:
            client.close()


def figures(case, taken):
    us, garbage = taken[case]
    line = f"{us:9.2f} us {garbage:7.0f} B {us / taken[case_plain][0]:6.1f} x"
    for base, most, text in BUDGETS.get(case, ()):
        line += f"   {us / taken[base][0]:.2f} of {text}, at most {most}"
    if case is case_sync:
        line += f"   at most {GARBAGE} B"
    return line


async def provide():
    Provider().install()

    @service("bench/style")
    class Style:
        def echo(self, client, value):
            return value


if len(sys.argv) > 1 and sys.argv[1] == "kernel":
    import kodkod

    async def both():
        provider = kodkod.spawn(provide)
        await main()
        await provider.stop()  # what it has installed would keep it alive

    sys.exit(kodkod.run(both))
else:

    async def alone():
        await provide()
        await main()

    asyncio.run(alone())
