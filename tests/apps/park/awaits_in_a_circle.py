# Two tasks that await each other, and one that awaits itself: that is an error, and no hang.
# ends: failed
import asyncio

tasks = []


async def awaits(n):
    await asyncio.sleep_ms(1)
    await tasks[n]


async def main():
    for n in (1, 0, 2):
        tasks.append(asyncio.create_task(awaits(n)))
    await tasks[0]
