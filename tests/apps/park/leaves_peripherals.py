# hardware
# stop after: 200
# ends: stopped
import asyncio

import machine

count = 0


def strike(what):
    global count
    count += 1


for n in (1, 2, 3):
    machine.Timer(n, period=3, callback=strike)
for n in (4, 5, 18, 19):
    machine.Pin(n, machine.Pin.OUT).irq(strike)
machine.PWM(machine.Pin(5))
machine.UART(1, tx=machine.Pin(17))
machine.I2C(0, scl=machine.Pin(22))
machine.Pin(4)._pin._edge()


async def main():
    for _ in range(100):
        if count > 5:
            break
        await asyncio.sleep_ms(1)
    assert count > 5, count
    await asyncio.sleep(1000)
