# Apps that take all the memory there is, to the last block, and keep it: the kernel lives, ends
# them, and has its reserve back.
# heap: 600k

import asyncio

from kernel_lab import ended, kernel_test, log, started, whole
from kodkod.apps import upkeep
from kodkod.services import ServiceClient, ServiceProvider, ServiceSelector

SELECTOR = ServiceSelector("hoard", 1, 0)
upkeep.PERIOD_MS = 50


def fill(kept, size):
    try:
        while True:
            kept = kept, bytearray(size)
    except MemoryError:
        return kept


async def hoards(size):
    kept = None
    while True:
        kept = fill(kept, size) or kept
        await asyncio.sleep_ms(0)


async def hoards_and_stays(size):
    kept = None
    while True:
        try:
            while True:
                kept = fill(kept, size) or kept
                await asyncio.sleep_ms(0)
        except asyncio.CancelledError:
            pass


class Provider(ServiceProvider):
    kept = None

    def handle(self, index, arguments, gid, client):
        self.kept = fill(self.kept, arguments) or self.kept


async def hoards_in_a_handler(size):
    provider = Provider("hoard", 1, 0)
    provider.provides(SELECTOR, provider)
    provider.install()


async def calls(size):
    client = await ServiceClient(SELECTOR).open(timeout_ms=1000)
    while True:
        await client.invoke(0, size)
        await asyncio.sleep_ms(0)


async def works():
    while True:
        table = [str(n) for n in range(20)]
        await asyncio.sleep_ms(1)
        assert len(table) == 20


async def prints():
    n = 0
    while True:
        n += 1
        print("a line", n)
        await asyncio.sleep_ms(1)


async def fails():
    await asyncio.sleep_ms(12)
    raise ValueError("x" * 100)


async def round_of(kernel, bad, size, late):
    def more():
        return [started(kernel, main, name="other") for main in (works, prints, fails, works)]

    others = more() if late else []
    apps = [started(kernel, bad, size, name="bad")]
    if bad is hoards_in_a_handler:
        apps.append(started(kernel, calls, size, name="calls"))
    others += more()
    for app in apps:
        await app.wait()
        assert app.reason in ("memory", "failed"), (app.name, app.reason, log(app.name))
    assert apps[0].reason == "memory"
    while kernel.short:
        await asyncio.sleep_ms(1)
    for app in others:
        await app.stop()
        assert app.reason in ("stopped", "memory", "failed")
    del apps, others
    app = started(kernel, asyncio.sleep_ms, 1, name="next")
    await ended(app, "ended", 0)
    whole(kernel)


async def sweep(kernel, bad):
    for size in (1, 30, 60):
        for late in (True, False):
            await round_of(kernel, bad, size, late)


@kernel_test
async def test_who_keeps_all_memory_is_ended_and_the_kernel_lives(kernel):
    await sweep(kernel, hoards)


@kernel_test
async def test_who_keeps_all_memory_and_catches_its_cancellation_is_ended(kernel):
    await sweep(kernel, hoards_and_stays)


@kernel_test
async def test_a_handler_that_keeps_all_memory_is_ended(kernel):
    await sweep(kernel, hoards_in_a_handler)
