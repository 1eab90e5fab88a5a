# MicroPython's unix port as a simulated device, and for `kod run -d host`.
# The only device file that may use what an ESP32 lacks.

import _thread
import os
import time

import micropython

from kodkod.port.clock import uptime_ms  # noqa: F401

CHIP = "unix"
BIND = "127.0.0.1"  # the address that the link listens on
ROOT = os.getenv("KODKOD_ROOT") or ""  # the folder that stands for the flash
RESET_CODE = 75  # exit code that asks the simulator to start the device again
_TICK_MS = 10

_guard = None
_locked = False


def radio(hostname):
    """The Wi-Fi interface, or None: this computer's network is there by itself."""
    return None


def set_time(epoch_s):
    """A computer's clock is right."""


def reset():
    """Restart the device."""
    from kodkod.apps import kernel

    # No SystemExit: the kernel takes one for the end of the app whose step it leaves.
    kernel.kernel.ending = RESET_CODE


# The guard. A thread looks at the clock and asks the main thread, between two bytecodes, to look
# too. The interrupt is a SIGINT, which this port raises wherever it strikes, in the allocator as
# well: so the heap is locked until it has come.


def guard_start(guard):
    """Call `guard.late()` every 10 ms, and interrupt the main thread when it says so."""
    global _guard
    micropython.kbd_intr(3)
    started = _guard
    _guard = guard
    if not started:
        _thread.stack_size(64 * 1024)
        _thread.start_new_thread(_watch, ())


def guard_stop():
    """Stop watching."""
    global _guard
    _guard = None


def guard_done():
    """The interrupt was dealt with."""
    global _locked
    if _locked:
        _locked = False
        micropython.heap_unlock()


def guard_wait(ms):
    """Let an interrupt on its way arrive: it is raised in here, within `ms` at most."""
    for _ in range(ms):
        time.sleep_ms(1)


def _watch():
    asked = 0
    while _guard:
        time.sleep_ms(_TICK_MS)
        guard = _guard
        if not guard or not guard.late():
            asked = 0
            continue
        asked += 1
        if asked == 1:
            try:
                micropython.schedule(_look, guard)
            except RuntimeError:  # the queue is full: at the next tick
                asked = 0
        elif asked == 3:  # it is inside a long C call, time.sleep say, where no callback runs
            _interrupt(guard)


def _look(guard):
    global _locked
    if guard.late():
        micropython.heap_lock()
        _locked = True
        _interrupt(guard)


def _interrupt(guard):
    guard.fired = 2
    # os.system itself ignores SIGINT until the shell has ended: hence the delay.
    os.system("(sleep .002; kill -INT $PPID) &")


# Memory that outlives a reset


def read_memory():
    """Bytes that survive a reset but not a power cut (RTC memory on an ESP32)."""
    try:
        with open(ROOT + "/rtc.bin", "rb") as file:
            return file.read()
    except OSError:
        return b""


def write_memory(data):
    """Replace those bytes (at most 64)."""
    with open(ROOT + "/rtc.bin", "wb") as file:
        file.write(data)


def reset_cause():
    """Why the device started: "power", "reset", "watchdog", "panic" or "sleep"."""
    return os.getenv("KODKOD_RESET_CAUSE") or "power"


def boot_button():
    """True while the board's boot button is held."""
    return bool(os.getenv("KODKOD_BOOT_BUTTON"))
