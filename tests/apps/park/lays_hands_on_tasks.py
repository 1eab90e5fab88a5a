# ends: failed
# The tasks of others are out of its reach; what it does to its own ends nobody but itself.
import asyncio


async def nothing():
    pass


async def main():
    try:
        queue = asyncio.core._task_queue
        while queue.peek():
            queue.pop()
    except AttributeError:
        pass
    asyncio.create_task(nothing()).coro.clear()
    task = asyncio.current_task()
    task.coro[1] = None
    await asyncio.sleep_ms(5)
    print("never")
