# A bare except gets the guard's interrupt, and the step goes on to its end: no pardon.
# ends: runaway
# says: caught the interrupt
import asyncio


async def main():
    while True:
        try:
            while True:
                pass
        except:
            print("still here")
            await asyncio.sleep(0)
