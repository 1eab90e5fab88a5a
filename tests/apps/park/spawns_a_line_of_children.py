# ends: ended 0
# Each of a long line of children spawns the next: their names, which the log holds, do not grow.
import asyncio

import kodkod


async def child(left):
    if left:
        app = kodkod.spawn(child, left - 1)
        assert len(app.name) < 12, app.name
    await asyncio.sleep_ms(1)


async def main():
    await kodkod.spawn(child, 30).wait()
