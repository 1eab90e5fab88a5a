# What the kernel costs: a step, a task, an app, a late ticker, a runaway.
# Run by tests/bench/run.py in the unix port.

import asyncio
import gc
import sys
from time import ticks_diff, ticks_ms, ticks_us

import kodkod

STEPS = 20000
WORD = 4 if sys.maxsize < 1 << 32 else 8


async def steps(count=STEPS):
    for _ in range(count):
        await asyncio.sleep_ms(0)


async def timed(work):
    began = ticks_us()
    await work
    return ticks_diff(ticks_us(), began) / STEPS


def show(what, value, unit, budget=""):
    print(f"{what:<38}{value:>9.2f} {unit:<4}{budget}")


def plain_step():
    # asyncio's own loop, without accounts and guard, on the same queues.
    result = asyncio.run(timed(steps()))
    asyncio.new_event_loop()
    return result


async def idle():
    await asyncio.sleep(60)


def used():
    gc.collect()
    return gc.mem_alloc()


async def sizes():
    apps = [kodkod.spawn(idle) for _ in range(4)]
    await asyncio.sleep_ms(20)
    before = used()
    apps += [kodkod.spawn(idle) for _ in range(20)]
    await asyncio.sleep_ms(20)
    scale = 0.7 if WORD == 8 else 1  # of 32-bit objects, as memory.py measures it
    per_app = (used() - before) / 20 * scale
    show("kernel data, a suspended app", per_app, "B", f"  {per_app / 1536:.2f} of 1536")
    before = used()
    tasks = [asyncio.create_task(idle()) for _ in range(20)]
    await asyncio.sleep_ms(20)
    show("kernel data, one more task", (used() - before) / 20 * scale, "B")
    for task in tasks:
        task.cancel()
    for app in apps:
        await app.stop()


async def busy():
    while True:
        for _ in range(200):
            pass
        await asyncio.sleep_ms(0)


async def late(count):
    """The longest gap of a 10 ms ticker beside `count` busy apps, ms."""
    apps = [kodkod.spawn(busy) for _ in range(count)]
    worst = 0
    last = ticks_us()
    for _ in range(60):
        await asyncio.sleep_ms(10)
        now = ticks_us()
        worst = max(worst, ticks_diff(now, last))
        last = now
    for app in apps:
        await app.stop()
    return worst / 1000


async def wild():
    await asyncio.sleep_ms(1)
    while True:
        pass


async def runaway(limit):
    app = kodkod.spawn(wild)
    app.limit = limit
    began = ticks_ms()
    await app.wait()
    assert app.reason == "runaway", app.reason
    return ticks_diff(ticks_ms(), began) - limit


async def main(plain):
    cost = await timed(steps())
    show("a step, asyncio's own loop", plain, "us")
    show("a step, guarded and accounted", cost, "us", f"  {cost / plain:.2f} x")
    await sizes()
    alone = await late(0)
    show("10 ms ticker, longest gap, alone", alone, "ms")
    for count in (1, 10, 50):
        gap = await late(count)
        show(f"  beside {count} busy apps", gap, "ms", f"  {gap / alone:.2f} x")
    for limit in (100, 500):
        over = await runaway(limit)
        text = f"runaway, stopped after its {limit} ms and"
        show(text, over, "ms", f"  {over / 50:.2f} of 50")


PLAIN = plain_step()
sys.exit(kodkod.run(main, PLAIN))
