# Stock MicroPython on an ESP32: 1.26 and newer.

import io
import os
import sys
import time

import machine
import micropython

from kodkod.port.clock import uptime_ms  # noqa: F401

ROOT = ""
BIND = "0.0.0.0"  # the address that the link listens on
CHIP = os.uname().machine.split()[-1].lower()
_TICK_MS = 10
_LATE_MS = 10  # a scheduled interrupt was seen to come up to 3 ms late
_EPOCH_2000 = 946684800  # an ESP32 counts from 2000-01-01
_CAUSES = {
    machine.PWRON_RESET: "power",
    machine.SOFT_RESET: "reset",
    machine.WDT_RESET: "watchdog",
    machine.DEEPSLEEP_RESET: "sleep",
}


def radio(hostname):
    """A function that gives the Wi-Fi interface, which also answers to `hostname`.local."""

    def make():
        import network

        network.hostname(hostname)
        return network.WLAN(network.STA_IF)

    return make


def set_time(epoch_s):
    """Set the clock: seconds since 1970-01-01 UTC."""
    date = time.gmtime(epoch_s - _EPOCH_2000)
    year, month, day, hour, minute, second, weekday = date[:7]
    machine.RTC().datetime((year, month, day, weekday, hour, minute, second, 0))


def reset():
    """Restart the device."""
    write_memory(read_memory()[:-1] + _ASKED)
    machine.reset()


def watchdog(ms):
    """Start the hardware's watchdog, which restarts the device `ms` after it was last fed, also
    in a bare REPL: only a restart ends it. Returns what feeds it."""
    return machine.WDT(timeout=ms).feed


# The guard: a timer's callback runs in the main thread between two bytecodes. It interrupts by
# a Ctrl-C that comes in through the dupterm slot, which is taken for that moment alone. Firmware
# without that slot schedules the interrupt (MicroPython 1.29 and later); it is the second choice,
# since one that finds another callback waiting strikes in there and is lost.


class _CtrlC(io.IOBase):
    def __init__(self):
        self.armed = False

    def readinto(self, buffer):
        if not self.armed:
            return None
        self.armed = False
        buffer[0] = 3
        return 1

    def write(self, data):
        return len(data)

    def ioctl(self, request, argument):
        return 1 if request == 3 and self.armed else 0


_ctrl_c = _CtrlC()
_timer = machine.Timer(0)
_guard = None
_resting = -1  # what a Ctrl-C at the console interrupts while the guard does not: nothing


def console_ctrl_c(on):
    """Whether a Ctrl-C that comes in interrupts what runs, or is a byte like any other. One
    that is on its way is raised in here."""
    global _resting
    _resting = 3 if on else -1
    micropython.kbd_intr(_resting)
    for _ in range(2):
        pass


def guard_start(guard):
    """Call `guard.late()` every 10 ms, and interrupt the main thread when it says so."""
    global _guard
    _guard = guard
    micropython.kbd_intr(-1)
    tick = _tick if _send is _by_dupterm else _tick_by_schedule
    _timer.init(period=_TICK_MS, mode=machine.Timer.PERIODIC, callback=tick)


def guard_stop():
    """Stop watching."""
    _timer.deinit()


def _tick(timer):
    if _guard.late() and _guard.fire():
        _send()  # no jump comes after this, or it would strike in here


def _tick_by_schedule(timer):
    try:
        _tick(timer)
    except KeyboardInterrupt:  # what was scheduled for the step has struck in here: again
        _send()


def _by_schedule():
    micropython.schedule(micropython.kbd_intr, None)


def _by_dupterm():
    _ctrl_c.armed = True
    os.dupterm(_ctrl_c, 0)
    micropython.kbd_intr(3)
    os.dupterm_notify(None)


def interrupt():
    """Raise KeyboardInterrupt in the main thread: the last thing that a callback does."""
    _send()


def guard_done():
    """The interrupt was dealt with: give the dupterm slot back."""
    if _send is _by_dupterm:
        os.dupterm(None, 0)
        micropython.kbd_intr(_resting)


def guard_wait():
    """Let an interrupt on its way arrive: it is raised in here, at the second jump or sooner."""
    if _send is _by_schedule:
        time.sleep_ms(_LATE_MS)
    for _ in range(2):
        pass


def _tried():
    # The one instance that is raised for an interrupt.
    try:
        _send()
        guard_wait()
    except KeyboardInterrupt as exc:
        return exc


_send = _by_dupterm
interrupted = _tried() if hasattr(os, "dupterm_notify") else None
if interrupted:
    guard_done()
elif sys.implementation.version >= (1, 29):
    _send = _by_schedule
    interrupted = _tried()


reset_now = reset


# Memory that outlives a reset


MEMORY = 80  # bytes of RTC memory that are the kernel's; the rest is the apps'


def read_memory():
    """Bytes that survive a reset but not a power cut."""
    return (machine.RTC().memory() + bytes(MEMORY))[:MEMORY]


def write_memory(data):
    """Replace those bytes."""
    memory = machine.RTC().memory
    memory((data + bytes(MEMORY))[:MEMORY] + memory()[MEMORY:])


_ASKED = b"R"  # last of those bytes: a panic has the same cause as machine.reset()
_asked = read_memory()[-1:] == _ASKED
write_memory(read_memory()[:-1])


def reset_cause():
    """Why the device started: "power", "reset", "watchdog", "panic" or "sleep"."""
    cause = machine.reset_cause()
    if cause == machine.HARD_RESET and _asked:
        return "reset"
    return _CAUSES.get(cause, "panic")


_BOOT_PIN = 9 if CHIP in ("esp32c3", "esp32c6") else 0
_IDLE_PIN = 3 if CHIP == "esp32" else None  # the console's receive line, which rests at high


def boot_button():
    """True while the boot button is held."""
    pin = machine.Pin(_BOOT_PIN, machine.Pin.IN, machine.Pin.PULL_UP)
    # Where nothing ever reads high, as in some emulators, there is no button to be held.
    return pin.value() == 0 and (_IDLE_PIN is None or machine.Pin(_IDLE_PIN).value() == 1)
