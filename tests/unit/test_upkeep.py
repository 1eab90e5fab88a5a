# Low memory: the newest apps are stopped until the reserve is free again, and the log says why.
# heap: 2m

import asyncio
import gc
import re

from harness import raises
from kernel_lab import ended, kernel_test, log, settle, started
from kodkod.apps import upkeep
from kodkod.system.provider import is_tight

upkeep.PERIOD_MS = 20
LOW = upkeep.LOW


async def holds(size):
    kept = bytearray(size)
    await asyncio.sleep(1000)
    return kept


@kernel_test
async def test_the_newest_app_is_stopped_and_the_log_says_how_much_it_gave_back(kernel):
    old = started(kernel, holds, 100000, name="old")
    newest = started(kernel, holds, 300000, name="newest")
    await settle()
    while upkeep._reserve is None:
        await asyncio.sleep_ms(5)
    gc.collect()
    upkeep.LOW = gc.mem_free() + 100000
    try:
        await ended(newest, "memory")
        while "gave back" not in log("kodkod"):
            await asyncio.sleep_ms(5)
    finally:
        upkeep.LOW = LOW
    said = re.search(r"memory: 'newest' gave back (\d+) B, (\d+) B are free", log("kodkod"))
    assert int(said.group(1)) >= 300000
    assert re.search(r"stopped: \d+ B of memory were free", log("newest"))
    assert old.is_running
    while upkeep._reserve is None:
        await asyncio.sleep_ms(5)


def in_crumbs(size):
    """Fills the heap but for pieces of `size` bytes; returns what keeps it full."""
    large = [None] * 8000
    small = [None] * 8000
    count = 0
    try:
        while True:
            large[count] = bytearray(size)
            count += 1
    except MemoryError:
        pass
    try:
        for at in range(8000):
            small[at] = bytearray(16)
    except MemoryError:
        pass
    for at in range(0, count, 2):
        large[at] = None
    gc.collect()
    return large, small


@kernel_test
async def test_the_reserve_is_of_smaller_pieces_where_there_are_no_large_ones(kernel):
    while upkeep._reserve is None:
        await asyncio.sleep_ms(5)
    upkeep._reserve = None
    large, small = in_crumbs(600)
    try:
        with raises(MemoryError):
            bytearray(1024)
        assert is_tight()
        assert upkeep._enough(kernel)
        sizes = [len(piece) for piece in upkeep._reserve]
    finally:
        del large, small
        gc.collect()
    assert not is_tight()
    assert sum(sizes) == 4096 and max(sizes) == 512
    assert kernel.short is False


@kernel_test
async def test_want_of_memory_for_one_that_waits_for_it_ends_no_upkeep(kernel):
    class Hungry:
        tries = 0

        def start_waiting(self):
            self.tries += 1
            raise MemoryError("not a byte is left, says the test")

    kernel.supervisor = hungry = Hungry()
    try:
        while hungry.tries < 3:
            await asyncio.sleep_ms(5)
    finally:
        kernel.supervisor = None
