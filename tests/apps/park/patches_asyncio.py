# stop after: 60
# ends: stopped
import asyncio

import uasyncio


def broken(*args):
    raise RuntimeError("patched")


for name in ("sleep", "sleep_ms", "create_task", "run", "gather", "current_task", "wait_for"):
    setattr(asyncio, name, broken)
    setattr(asyncio.core, name, broken)
    setattr(uasyncio, name, broken)
asyncio.core.cur_task = asyncio.core._task_queue = asyncio.core._io_queue = None
asyncio.new_event_loop()


def main():
    import asyncio

    assert asyncio.sleep is broken
    from kodkod.services import ServiceProvider

    ServiceProvider("patches", 1, 0).install()
