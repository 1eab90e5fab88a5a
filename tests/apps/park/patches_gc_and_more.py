# stop after: 60
# ends: stopped
import asyncio
import gc
import micropython

gc.disable()
gc.threshold(1)
micropython.heap_lock()
micropython.kbd_intr(3)
import _thread

try:
    _thread.start_new_thread(print, ("a thread",))
except Exception as exc:
    print(exc)


async def main():
    await asyncio.sleep(1000)
