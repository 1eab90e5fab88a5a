# hardware
# stop after: 60
# ends: stopped
import asyncio

import machine


def press(timer):
    pin._pin._edge()


pin = machine.Pin(4)
pin.irq(lambda pin: None)
timers = [machine.Timer(n, period=1, callback=press) for n in (1, 2, 3)]


async def main():
    await asyncio.sleep(1000)
