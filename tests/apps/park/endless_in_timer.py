# hardware
# ends: runaway
# says: in spin
import asyncio

import machine


def spin(timer):
    while True:
        pass


async def main():
    machine.Timer(1, mode=machine.Timer.ONE_SHOT, period=5, callback=spin)
    await asyncio.sleep(1000)
