# What is installed, and what becomes of it: started, and restarted by policy.
# Starting it (starting.py), changing it (switch.py), its probation (trial.py), and which images
# stay (held.py) are loaded for the occasion.

import asyncio
import gc

from micropython import const

from kodkod import port
from kodkod.apps import logs
from kodkod.borrow import Borrowed, borrow
from kodkod.errors import AppNotFound
from kodkod.signal import Signal

BACKOFF_MS = 1000  # before the first restart, doubling; tests make it shorter
_BACKOFF_MAX_MS = const(60000)
_FAILURES = const(5)  # more than these within _WINDOW_MS of running time: given up
_WINDOW_MS = const(60000)


class Slot:
    """One installed name: its catalog record, and its running app if there is one."""

    # What few slots change costs nothing until they do.
    halting = False  # it is being stopped for a reason that starts it no more
    restarts = 0
    needed = 0  # bytes of memory for which it waits
    trial = None  # the task that will end its probation
    sized = None, 0  # id of an image, and the bytes in its files
    fault = ""  # what condemned the version that was rolled back

    def __init__(self, name, record):
        self.name = name
        self.record = record
        self.app = None
        self.state = "stopped"
        self.reason = self.code = self.traceback = None
        self.started = 0  # uptime_ms of its last start
        self.ran = 0  # ms of running time, all instances
        self.failures = []  # `ran` at each failure within the window
        self.timer = None  # the task that will start or stop it
        self.judged = Signal()  # the probation is over

    def setting(self, key, default=None):
        """The setting, or its image's default, or what the caller takes instead."""
        value = self.record["settings"].get(key)
        if value is None:
            value = self.record.get("defaults", {}).get(key)
        return default if value is None else value


class Supervisor:
    """Starts and restarts the apps that the flash says are installed."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.uploads = []  # directories of images that arrive
        self.store = Borrowed("kodkod.storage.store", "open_store", port.ROOT, self.uploads)
        self.catalog = Borrowed("kodkod.storage.catalog", "Catalog", port.ROOT)
        self.slots = {}
        self.held = []  # (id, until uptime_ms) of images that were received, not yet named
        self.holds = False  # a task will let them go
        self.safe_mode = None  # why no app was started, if so
        self.queue = []  # of what is installed: the first goes on, the others wait

    def slot(self, name):
        """The slot of an installed name; AppNotFound."""
        slot = self.slots.get(name)
        if slot is None:
            raise AppNotFound("no app '{}' is installed; kod list shows all".format(name))
        return slot

    def log(self, level, text):
        """A line of the system's own."""
        logs.write(self.kernel.system, level, text)

    def start(self, slot):
        """Start an instance, unless one runs."""
        self.cancel_timer(slot)
        if slot.app:
            return
        needed = slot.needed
        try:
            borrow("kodkod.apps.starting").start(self, slot)
        except MemoryError as exc:  # none of its failures
            if slot.app:
                raise
            slot.state = "waiting"
            slot.reason = "memory"
            slot.code = None
            slot.needed = slot.needed or 1024
            if not needed:
                self.kernel.log(slot, logs.WARNING, "cannot start yet: {}".format(exc))

    def start_waiting(self):
        """Start one that waits for memory, if there is enough by now."""
        collected = False
        for slot in self.slots.values():
            if slot.needed and slot.state == "waiting":
                if not collected:
                    gc.collect()
                    collected = True
                if gc.mem_free() >= slot.needed:
                    self.start(slot)
                    return

    def ended(self, app):
        slot = self.slots.get(app.name)
        if slot is None or slot.app is not app:
            return
        slot.app = None
        slot.state = slot.reason = app.reason
        slot.code = app.code
        slot.traceback = app.traceback or slot.traceback
        ran = port.uptime_ms() - slot.started
        slot.ran += ran
        self.cancel_timer(slot)
        if not slot.halting:
            self._settle(slot, app, ran)

    def _settle(self, slot, app, ran):
        # What becomes of an app that has ended, after `ran` ms.
        try:
            self._decide(slot, app, ran)
        except MemoryError:  # in a while there may be more
            self.set_timer(slot, BACKOFF_MS, self._settle, app, ran)

    def _decide(self, slot, app, ran):
        policy = slot.setting("restart", "on-failure")
        failed = app.code != 0
        if slot.record["probation"] and app.reason != "stopped":
            fault = ""
            if failed or policy == "always":
                fault = app.traceback or "ended with code {}".format(app.code)
            self.part("trial").judge(self, slot, fault)
            if fault:
                self.start(slot)
                return
        interval = slot.setting("interval_ms")
        if interval:
            self._start_in(slot, max(0, interval - ran))
        elif policy == "always" or (policy == "on-failure" and failed):
            self.back_off(slot)
        elif failed:
            slot.state = "failed"

    def back_off(self, slot):
        """It has failed: start it again in a while, unless it does so all the time."""
        slot.failures = [at for at in slot.failures if slot.ran - at < _WINDOW_MS]
        slot.failures.append(slot.ran)
        count = len(slot.failures)
        if count > _FAILURES:
            slot.state = "failed"
            text = "app '{}' stopped: {} failures in 60 s; kod logs {} shows the traceback"
            self.log(logs.ERROR, text.format(slot.name, count, slot.name))
        else:
            self._start_in(slot, min(_BACKOFF_MAX_MS, BACKOFF_MS << (count - 1)))

    def _start_in(self, slot, delay):
        slot.state = "waiting"
        slot.restarts += 1
        self.set_timer(slot, delay, self.start)

    def time_out(self, slot):
        """The app of this slot, or run, may go on no longer."""
        self.kernel.log(slot.app, logs.WARNING, "stopped: its timeout has passed")
        self.stop_all(slot.app.name)

    def stop_all(self, origin):
        """Stop the app of that name and all that it, and they, have spawned."""
        for app in list(self.kernel.apps):
            if app.origin == origin:
                self.kernel.end(app, "stopped", 0)

    def set_timer(self, slot, delay, action, *args):
        """`action(slot, *args)` after `delay` ms, in place of what was to happen to it."""
        slot.timer = self.later(delay, action, slot, *args)

    def cancel_timer(self, slot):
        """Whatever was to happen to it after a time does not."""
        timer, slot.timer = slot.timer, None
        if timer and timer is not asyncio.current_task():
            timer.cancel()

    def later(self, delay, action, *args):
        """A task that calls `action(*args)` after `delay` ms. One that does so itself would keep
        a module loaded that is borrowed: `action` is then its name, as "trial.passed"."""
        return self.kernel.task(self.kernel.system, self._later(delay, action, args))

    async def _later(self, delay, action, args):
        await asyncio.sleep_ms(delay)
        if isinstance(action, str):
            module, _, function = action.partition(".")
            getattr(self.part(module), function)(self, *args)
        else:
            action(*args)

    def put(self, slot, **changes):
        """Write a changed record of the slot."""
        record = dict(slot.record)
        record.update(changes)
        self.catalog.put(slot.name, record)
        slot.record = record

    def part(self, name):
        """What is not always loaded of this: "switch", "trial" or "held"."""
        return borrow("kodkod.apps." + name)

    def ready(self, app):
        """The app says that it works: its probation is passed."""
        slot = self.slots.get(app.name)
        if slot and slot.app is app and slot.record["probation"]:
            self.part("trial").judge(self, slot, "")
