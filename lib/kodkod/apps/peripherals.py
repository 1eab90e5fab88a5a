# What an app sees as `machine` and `esp32`: the native objects, entered in its record, closed at
# its end, refused to others meanwhile; callbacks of pins and timers run as its steps.

import machine as _machine

from kodkod import port
from kodkod.apps import loader
from kodkod.apps.callbacks import Callback
from kodkod.errors import Denied

if not hasattr(_machine, "Pin"):
    raise ImportError("a simulated device has no pins, timers and buses")
_BUSES = ("I2C", "SPI", "UART", "I2S", "SDCard", "I2CTarget", "ADCBlock", "RMT", "PCNT")
_ON_PINS = ("PWM", "ADC", "DAC", "TouchPad", "Signal", "SoftI2C", "SoftSPI", "Counter", "Encoder")
_WITH_PINS = ("time_pulse_us", "bitstream", "dht_readinto")
_holds = {}  # "Pin(4)" -> Hold


class Hold:
    """What one app has taken, until it ends or gives it back."""

    def __init__(self, app, key):
        self.app = app
        self.key = key
        self.things = {}  # class -> the native object made last
        self.callback = None

    def close(self):
        """Give it back."""
        _holds.pop(self.key, None)
        self.on(None, None)
        pin = self.things.pop(_machine.Pin, None)
        for thing in self.things.values():
            if hasattr(thing, "deinit"):
                thing.deinit()
        if pin:
            pin.irq(None)
            pin.init(_machine.Pin.IN, None)

    def on(self, function, argument):
        """What to strike in place of `function`, which runs as a step; None: nothing."""
        if self.callback:
            self.callback.close()
        self.callback = Callback(function, argument) if function else None
        return self.callback and self.callback.strike


def _hold(key):
    app = loader.kernel.current
    hold = _holds.get(key)
    if hold is None:
        hold = _holds[key] = app.own(Hold(app, key))
    elif hold.app.origin != app.origin:
        raise Denied("{} is held by '{}'".format(key, hold.app.name))
    return hold


def _take_pin(number):
    native = _machine.Pin(number)
    hold = _hold(str(native))
    hold.things[_machine.Pin] = native
    return hold


def _soft(hard):
    if hard:
        raise Denied("hard=True: a hard interrupt cannot be stopped; leave it out")


class Pin(_machine.Pin):
    """A pin of the app's. Python's view of it; drivers in C are given the native object."""

    def __init__(self, id, *args, **options):
        id = _native(id)
        self._hold = _take_pin(id)
        self._native = _machine.Pin(id)
        super().__init__(id, *args, **options)

    def irq(self, handler=None, *args, hard=False, **options):
        """As machine.Pin.irq; the handler runs as a step of the app, soon after."""
        _soft(hard)
        return self._native.irq(self._hold.on(handler, self), *args, **options)


class Timer:
    """As machine.Timer; the callback runs as a step of the app."""

    ONE_SHOT = _machine.Timer.ONE_SHOT
    PERIODIC = _machine.Timer.PERIODIC

    def __init__(self, id=-1, **options):
        if id == 0:
            raise Denied("Timer(0) is the kernel's: take another")
        self._hold = _hold("Timer({})".format(id))
        self._native = self._hold.things[Timer] = _machine.Timer(id)
        self.value = self._native.value
        if options:
            self.init(**options)

    def init(self, *, callback=None, hard=False, **options):
        """Start it."""
        _soft(hard)
        self._native.init(callback=self._hold.on(callback, self), **options)

    def deinit(self):
        """Stop it."""
        self._native.deinit()
        self._hold.on(None, None)


def _native(thing):
    if type(thing) is Pin:
        return thing._native
    if type(thing) is tuple:
        return tuple([_native(one) for one in thing])
    return thing


def _natives(args, options):
    return [_native(one) for one in args], {key: _native(options[key]) for key in options}


class _Taker:
    # Stands for a class of `machine`: what it makes is entered in the record.

    def __init__(self, name, kind):
        self._name = name
        self._kind = kind

    def __getattr__(self, name):
        return getattr(self._kind, name)

    def __call__(self, *args, **options):
        args, options = _natives(args, options)
        hold = None
        if args:
            what = args[0]
            if self._name in _BUSES:
                hold = _hold("{}({})".format(self._name, what))
            elif isinstance(what, (int, _machine.Pin)):
                hold = _take_pin(what)
        thing = self._kind(*args, **options)
        if hold:
            hold.things[self._kind] = thing
        return thing


def _with_pins(function):
    def call(*args, **options):
        args, options = _natives(args, options)
        return function(*args, **options)

    return call


class RTC:
    """As machine.RTC; its memory less the kernel's part."""

    def __init__(self, *args):
        self._native = _machine.RTC(*args)

    def __getattr__(self, name):
        return getattr(self._native, name)

    def memory(self, data=None):
        """The bytes that survive a reset, or replace them."""
        memory = self._native.memory
        if data is None:
            return memory()[port.MEMORY :]
        memory(port.read_memory() + data)


def _no_watchdog(*_, **__):
    raise Denied("the watchdog is the device's: kod config watchdog")


def _restart(action):
    # The others end gracefully first, whoever asks.
    def ask(*args):
        kernel = loader.kernel

        async def stop():
            await kernel.stop_all()
            action(*args)

        kernel.task(kernel.system, stop())
        raise SystemExit

    return ask


def _fill(view, module):
    for name in _BUSES + _ON_PINS:
        if hasattr(module, name):
            setattr(view, name, _Taker(name, getattr(module, name)))


def machine(app, view):
    """For `import machine`."""
    _fill(view, _machine)
    for name in _WITH_PINS:
        setattr(view, name, _with_pins(getattr(_machine, name)))
    view.Pin = Pin
    view.Timer = Timer
    view.RTC = RTC
    view.WDT = _no_watchdog
    view.reset = view.soft_reset = _restart(port.reset)
    for name in ("deepsleep", "bootloader"):
        setattr(view, name, _restart(getattr(_machine, name)))


def esp32(app, view):
    """For `import esp32`."""
    import esp32

    _fill(view, esp32)
    for name in ("wake_on_ext0", "wake_on_ext1"):
        if hasattr(esp32, name):
            setattr(view, name, _with_pins(getattr(esp32, name)))


def _onewire(app, view):
    """For `import _onewire`: C functions whose first argument is a pin."""
    for name in dir(view._module):
        if name[0] != "_":
            setattr(view, name, _with_pins(getattr(view._module, name)))
