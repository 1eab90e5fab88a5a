# hardware
# ends: failed
# says: in a pin's callback
import asyncio

import machine


def press(pin):
    raise ValueError("in a pin's callback")


async def main():
    pin = machine.Pin(4)
    pin.irq(press)
    pin._pin._edge()
    await asyncio.sleep(1000)
