# A fake of MicroPython's `machine` on an ESP32: the names of stock 1.26.1, and hardware of dicts.
# Timers strike as there: between two bytecodes of the main thread, not under another callback.

import _thread
import time

import micropython

_live = []  # what was made and not given back: [kind, what, state]
_resets = []  # how the device was asked to restart
_memory = [b""]
_cause = [1]

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5
SLEEP = 2
DEEPSLEEP = 4
PIN_WAKE = EXT0_WAKE = 2
EXT1_WAKE = 3
TIMER_WAKE = 4
TOUCHPAD_WAKE = 5
ULP_WAKE = 6
mem8 = mem16 = mem32 = None


def _gone(*args):
    _resets.append(args)
    while True:  # none of these ever returns
        time.sleep_ms(1)


def reset():
    _gone("reset")


def soft_reset():
    _gone("soft_reset")


def deepsleep(ms=0):
    _gone("deepsleep", ms)


def bootloader():
    _gone("bootloader")


def reset_cause():
    return _cause[0]


def wake_reason():
    return 0


def unique_id():
    return b"\x24\x0a\xc4\x00\x00\x01"


def freq(hz=160000000):
    return hz


def idle():
    pass


def lightsleep(ms=0):
    time.sleep_ms(ms)


sleep = lightsleep


def disable_irq():
    return 0


def enable_irq(state):
    pass


def _is_native(pin):
    # Drivers in C take nothing else.
    if type(pin) is not _Pin:
        raise ValueError("invalid pin")


def time_pulse_us(pin, level, timeout=1000000):
    _is_native(pin)
    return 100


def bitstream(pin, encoding, timing, data):
    _is_native(pin)


def dht_readinto(pin, data):
    _is_native(pin)


class Pin:
    # `Pin(4)` gives the one object of that GPIO. An instance of a subclass holds it, as
    # MicroPython's instances of native types do.
    IN = 1
    OUT = 3
    OPEN_DRAIN = 7
    PULL_UP = 2
    PULL_DOWN = 1
    IRQ_RISING = 1
    IRQ_FALLING = 2
    WAKE_LOW = 4
    WAKE_HIGH = 5
    DRIVE_0 = 0
    DRIVE_1 = 1
    DRIVE_2 = 2
    DRIVE_3 = 3

    def __new__(cls, id, *args, **options):
        if cls is not Pin:
            return object.__new__(cls)
        native = _find(id)
        if args or options:
            native.init(*args, **options)
        return native

    def __init__(self, id, *args, **options):
        self._pin = _find(id)
        if args or options:
            self._pin.init(*args, **options)

    def __str__(self):
        return str(self._pin)

    def init(self, *args, **options):
        self._pin.init(*args, **options)

    def value(self, *value):
        return self._pin.value(*value)

    def __call__(self, *value):
        return self._pin.value(*value)

    def on(self):
        self._pin.on()

    def off(self):
        self._pin.off()

    def toggle(self):
        self._pin.toggle()

    def irq(self, handler=None, trigger=3, wake=None):
        self._pin.irq(handler, trigger)


class _Pin(Pin):
    def __init__(self, number):
        self._number = number
        self._mode = self.IN
        self._value = 1
        self._handler = None

    def __str__(self):
        return "Pin({})".format(self._number)

    def init(self, mode=None, pull=-1, *, value=None, drive=None, hold=None):
        if mode is not None:
            self._mode = mode
        if value is not None:
            self._value = value

    def value(self, *value):
        if not value:
            return self._value
        self._value = int(value[0])

    def on(self):
        self._value = 1

    def off(self):
        self._value = 0

    def toggle(self):
        self._value = 1 - self._value

    def irq(self, handler=None, trigger=3, wake=None):
        self._handler = handler

    def _edge(self):
        if self._handler:
            micropython.schedule(self._handler, self)


_pins = {}


def _find(id):
    if type(id) is _Pin:
        return id
    if not isinstance(id, int) or not 0 <= id < 40:
        raise ValueError("invalid pin")
    if id not in _pins:
        _pins[id] = _Pin(id)
    return _pins[id]


class _Device:
    # What counts as taken until deinit().
    def __init__(self, *args, **options):
        for one in list(args) + list(options.values()):
            if isinstance(one, Pin):
                _is_native(one)
        unit = [type(self), str(args[0]) if args else ""]
        _live[:] = [one for one in _live if one._unit != unit]  # made again, it is the same
        self._unit = unit
        _live.append(self)

    def deinit(self):
        if self in _live:
            _live.remove(self)


class _Bus(_Device):
    def init(self, **options):
        pass


class I2C(_Bus):
    def scan(self):
        return []

    def writeto(self, address, data):
        return len(data)


class I2CTarget(_Bus):
    pass


class SoftI2C(I2C):
    def __init__(self, **options):
        super().__init__(**options)
        _live.remove(self)


class SPI(_Bus):
    MSB = 0
    LSB = 1

    def write(self, data):
        pass


class SoftSPI(SPI):
    def __init__(self, **options):
        super().__init__(**options)
        _live.remove(self)


class UART(_Bus):
    INV_TX = 1
    IRQ_RX = 1

    def irq(self, handler=None, trigger=0, hard=False):
        pass

    def any(self):
        return 0


class I2S(_Bus):
    RX = 0
    TX = 1

    def irq(self, handler):
        pass


class SDCard(_Bus):
    pass


class PWM(_Bus):
    def __init__(self, pin, **options):
        super().__init__(pin, **options)
        _is_native(pin)

    def duty(self, *value):
        return 512


class ADC:
    ATTN_11DB = 3

    def __init__(self, pin, **options):
        if not isinstance(pin, int):
            _is_native(pin)

    def read_u16(self):
        return 1000


class ADCBlock:
    def __init__(self, id, **options):
        pass


class DAC:
    def __init__(self, pin):
        _is_native(pin)

    def write(self, value):
        pass


class TouchPad(DAC):
    def read(self):
        return 0


class Signal:
    def __init__(self, pin, invert=False):
        _is_native(pin)
        self._pin = pin

    def on(self):
        self._pin.on()


class PinBase:
    pass


class RTC:
    def __init__(self, id=0, **options):
        pass

    def datetime(self, *value):
        return (2026, 1, 1, 3, 0, 0, 0, 0)

    init = datetime

    def memory(self, *data):
        if not data:
            return _memory[0]
        if len(data[0]) > 2048:
            raise ValueError("buffer too long")
        _memory[0] = bytes(data[0])


class WDT:
    def __init__(self, id=0, timeout=5000):
        self._unit = [WDT]
        _live.append(self)

    def feed(self):
        pass


class Timer:
    ONE_SHOT = 0
    PERIODIC = 1

    def __init__(self, id, **options):
        if not 0 <= id < 4:
            raise ValueError("invalid Timer number")
        self._id = id
        self._due = None
        if options:
            self.init(**options)

    def init(self, *, mode=1, callback=None, period=-1, tick_hz=1000, freq=-1):
        self._period = 1000 // freq if freq > 0 else period
        self._mode = mode
        self._callback = callback
        self._due = time.ticks_add(time.ticks_ms(), self._period)
        if self not in _timers:
            _timers.append(self)
        _start()

    def deinit(self):
        self._due = None
        if self in _timers:
            _timers.remove(self)

    def value(self):
        return 0


_timers = []
_clock = []
_first = [None]  # what runs before the next callback does


def _run_first(_=None):
    first, _first[0] = _first[0], None
    if first:
        first()


def _strike(timer):
    callback = timer._callback or id
    _run_first()
    callback(timer)  # no jump before this: what _run_first made pending strikes in there


def _start():
    if not _clock:
        _clock.append(True)
        _thread.stack_size(64 * 1024)
        _thread.start_new_thread(_run, ())


def _run():
    micropython.heap_lock()  # see port/unix.py: the collector must not begin in a thread
    while True:
        time.sleep_ms(1)
        now = time.ticks_ms()
        for timer in _timers:
            due = timer._due
            if due is not None and time.ticks_diff(now, due) >= 0:
                timer._due = None
                if timer._mode:
                    timer._due = time.ticks_add(due, timer._period)
                if timer._callback:
                    try:
                        micropython.schedule(_strike, timer)
                    except RuntimeError:  # the queue is full: this one is lost, as there
                        pass
