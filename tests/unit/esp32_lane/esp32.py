# A fake of MicroPython's `esp32` module: what apps take there.

import machine

WAKEUP_ALL_LOW = False
WAKEUP_ANY_HIGH = True
HEAP_DATA = 4
HEAP_EXEC = 1
_wakes = []


class RMT(machine._Device):
    def write_pulses(self, *args):
        pass


class PCNT(machine._Device):
    pass


class NVS:
    def __init__(self, name):
        pass


class Partition:
    RUNNING = 1


def wake_on_ext0(pin, level):
    machine._is_native(pin)
    _wakes.append(pin)


def wake_on_ext1(pins, level):
    for pin in pins:
        machine._is_native(pin)
    _wakes.extend(pins)


def wake_on_touch(wake):
    pass


def gpio_deep_sleep_hold(enable):
    pass


def raw_temperature():
    return 100


def idf_heap_info(kind):
    return []
