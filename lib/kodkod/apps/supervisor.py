# What is installed, and what becomes of it: start, stop, restart by policy, probation.
# Nothing here opens a file but through storage, and no app's code runs in here.

import asyncio

from micropython import const

from kodkod import port
from kodkod.apps import loader, logs
from kodkod.channel import Signal
from kodkod.errors import AppNotFound

_BACKOFF_MS = const(1000)
_BACKOFF_MAX_MS = const(60000)
_FAILURES = const(5)  # more than these within _WINDOW_MS of running time: given up
_WINDOW_MS = const(60000)
PROBATION_MS = const(10000)


class Slot:
    """One installed name: its catalog record, and its running app if there is one."""

    def __init__(self, name, record):
        self.name = name
        self.record = record
        self.app = None
        self.state = "stopped"
        self.reason = self.code = self.traceback = None
        self.restarts = 0
        self.started = 0  # uptime_ms of its last start
        self.ran = 0  # ms of running time, all instances
        self.failures = []  # `ran` at each failure within the window
        self.timer = None  # the task that will start or stop it
        self.judged = Signal()  # the probation is over
        self.verdict = None  # how it ended: traceback or "" (passed)

    def setting(self, key, default=None):
        """The installation's setting, or what the caller takes instead."""
        value = self.record["settings"].get(key)
        return default if value is None else value


class Supervisor:
    """Starts, stops and restarts the installed apps of `catalog`, whose images are in `store`."""

    def __init__(self, kernel, store, catalog):
        self.kernel = kernel
        self.store = store
        self.catalog = catalog
        self.slots = {}

    def slot(self, name):
        """The slot of an installed name; AppNotFound."""
        slot = self.slots.get(name)
        if slot is None:
            raise AppNotFound("no app '{}' is installed; kod list shows all".format(name))
        return slot

    def boot(self):
        """Take up the catalog and start what is installed, in the order of `after`."""
        images = set()
        for name in self.catalog.names():
            record = self.catalog.get(name)
            self.slots[name] = Slot(name, record)
            images.update((record["id"], record["previous"]))
        self.store.repair(images)
        for name in self._order():
            slot = self.slots[name]
            if slot.record["probation"]:
                self._resume_probation(slot)
            if slot.record.get("state") != "stopped":
                self.start(slot)

    def _order(self):
        done = []

        def visit(name, above):
            slot = self.slots.get(name)
            if slot and name not in done and name not in above:
                for before in slot.setting("after", ()):
                    visit(before, above + (name,))
                done.append(name)

        for name in sorted(self.slots):
            visit(name, ())
        return done

    # One app

    def start(self, slot):
        """Start an instance, unless one runs."""
        if slot.app:
            return
        self._cancel_timer(slot)
        app = self.kernel.app(slot.name)
        try:
            self.prepare(app, slot.record["id"], slot.record["settings"])
        except Exception as exc:  # unreadable image: reported, the others start
            self.kernel.apps.remove(app)
            slot.state, slot.reason, slot.code = "failed", "failed", 1
            slot.traceback = logs.traceback(exc)
            self.kernel.log_exception(app, exc, "cannot start")
            self._judge(slot, slot.traceback)
            return
        slot.app = app
        slot.state = "running"
        slot.reason = slot.code = None
        slot.started = port.uptime_ms()
        app.on_end = self._ended
        timeout = slot.setting("timeout_ms")
        if timeout:
            self._set_timer(slot, timeout, self._time_out)

    def prepare(self, app, image, settings):
        """Make `app` an instance of the stored `image`, with its main task."""
        app.image = image
        manifest = self.store.manifest(image)
        defaults = manifest.get("settings") or {}
        loader.assign(app, self.store.path(image))
        app.data = port.ROOT + "/data/" + app.name
        app.defines = settings.get("defines") or {}
        app.permissions = manifest.get("permissions")
        limit = settings.get("limit_ms", defaults.get("limit_ms"))
        if limit is not None:
            app.limit = limit
        args = settings.get("args") or ()
        self.kernel.start(app, loader.main(app, manifest["entry"], args))

    def _ended(self, app):
        slot = self.slots.get(app.name)
        if slot is None or slot.app is not app:
            return
        slot.app = None
        slot.reason, slot.code = app.reason, app.code
        slot.traceback = app.traceback
        ran = port.uptime_ms() - slot.started
        slot.ran += ran
        self._cancel_timer(slot)
        failed = app.code != 0
        if slot.record["probation"]:
            if failed or (slot.setting("restart") == "always" and app.reason == "ended"):
                self._judge(slot, app.traceback or "ended with code {}".format(app.code))
                return
            self._judge(slot, "")
        self._after_end(slot, ran, failed)

    def _after_end(self, slot, ran, failed):
        policy = slot.setting("restart", "on-failure")
        interval = slot.setting("interval_ms")
        slot.state = slot.reason
        if slot.reason == "stopped" and slot.record.get("state") == "stopped":
            return
        if interval:
            self._start_in(slot, max(0, interval - ran))
        elif policy == "always" or (policy == "on-failure" and failed):
            self._back_off(slot)
        elif failed:
            slot.state = "failed"

    def _back_off(self, slot):
        slot.failures = [at for at in slot.failures if slot.ran - at < _WINDOW_MS]
        slot.failures.append(slot.ran)
        count = len(slot.failures)
        if count > _FAILURES:
            slot.state = "failed"
            text = "{} failures in 60 s of running: given up; kod start {} tries again"
            self.kernel.log(slot, logs.ERROR, text.format(count, slot.name))
        else:
            self._start_in(slot, min(_BACKOFF_MAX_MS, _BACKOFF_MS << (count - 1)))

    def _start_in(self, slot, delay):
        slot.state = "waiting"
        slot.restarts += 1
        self._set_timer(slot, delay, self.start)

    def _time_out(self, slot):
        self.kernel.log(slot, logs.WARNING, "stopped after its timeout")
        self.kernel.end(slot.app, "stopped", 0)

    def _set_timer(self, slot, delay, action):
        async def later():
            await asyncio.sleep_ms(delay)
            slot.timer = None
            action(slot)

        slot.timer = self.kernel.task(self.kernel.system, later())

    def _cancel_timer(self, slot):
        if slot.timer:
            slot.timer.cancel()
            slot.timer = None

    async def stop(self, slot, by_hand=True):
        """Stop the instance gracefully and start it no more, not at the next boot either."""
        self._cancel_timer(slot)
        if by_hand and slot.record.get("state") != "stopped":
            self._put(slot, state="stopped")
        if slot.app:
            await slot.app.stop()
        slot.state = "stopped"

    def start_by_hand(self, slot):
        """`kod start`: forget past failures, and start at boot again."""
        slot.failures = []
        if slot.record.get("state") == "stopped":
            self._put(slot, state=None)
        self.start(slot)

    def _put(self, slot, **changes):
        record = dict(slot.record)
        record.update(changes)
        self.catalog.put(slot.name, record)
        slot.record = record

    # Installing

    async def install(self, name, image, settings):
        """Switch `name` to `image`: one catalog write, then stop old, start new.
        Returns what happened as a dict."""
        slot = self.slots.get(name)
        old = slot.record if slot else None
        same = old is not None and old["id"] == image
        if same and old["settings"] == settings and slot.app:
            return self._result(slot, True, 0)
        probation = settings.get("probation_ms")
        if probation is None:
            probation = PROBATION_MS
        if not old or same:
            probation = 0
        record = {"id": image, "previous": None, "settings": settings, "state": None}
        record["probation"] = 1 if probation else 0
        if probation:
            record["previous"] = old["id"]
            record["previous_settings"] = old["settings"]
        self.catalog.put(name, record)
        if slot:
            await self.stop(slot, by_hand=False)
        slot = self.slots[name] = Slot(name, record)
        self.start(slot)
        if probation:
            self._set_probation(slot, probation)
        else:
            self.sweep()
        return self._result(slot, False, probation, old is not None)

    def _result(self, slot, unchanged, probation, replaced=True):
        return {
            "name": slot.name,
            "id": slot.record["id"],
            "replaced": replaced,
            "unchanged": unchanged,
            "probation_ms": probation,
        }

    async def uninstall(self, slot, keep_data=False):
        """Remove the app, its image and (unless kept) its data."""
        del self.slots[slot.name]
        await self.stop(slot, by_hand=False)
        self.catalog.remove(slot.name, keep_data)
        self.sweep()
        logs.forget(slot.name)

    def sweep(self):
        """Remove the images that no installed or running app needs."""
        needed = {app.image for app in self.kernel.apps}
        for slot in self.slots.values():
            needed.update((slot.record["id"], slot.record["previous"]))
        self.store.sweep(needed)

    # Probation

    def _set_probation(self, slot, delay):
        async def pass_later():
            await asyncio.sleep_ms(delay)
            self._judge(slot, "")

        self.kernel.task(self.kernel.system, pass_later())

    def _resume_probation(self, slot):
        # A boot found it on trial: a crash of the device rolls back; else it has one more trial.
        if slot.record["probation"] > 1 or port.reset_cause() in ("watchdog", "panic"):
            self._roll_back(slot)
        else:
            self._put(slot, probation=2)
            self._set_probation(slot, slot.setting("probation_ms", PROBATION_MS))

    def ready(self, app):
        """The app says that it works: its probation is passed."""
        slot = self.slots.get(app.name)
        if slot and slot.app is app:
            self._judge(slot, "")

    def _judge(self, slot, fault):
        # `fault` is the text that condemns the new version, or "".
        if self.slots.get(slot.name) is not slot or not slot.record["probation"]:
            return
        slot.verdict = fault
        if fault:
            self._roll_back(slot)
            text = "new version failed on probation, back to the old one"
            self.kernel.log(slot, logs.ERROR, text)
            if not slot.app:
                self.start(slot)
        else:
            self._put(slot, probation=0, previous=None, previous_settings=None)
            self.sweep()
        slot.judged.set()

    def _roll_back(self, slot):
        record = slot.record
        settings = record["previous_settings"]
        self._put(
            slot,
            id=record["previous"],
            settings=settings,
            previous=None,
            previous_settings=None,
            probation=0,
        )
        self.sweep()

    async def judgement(self, slot):
        """Wait for the end of the probation; returns "" or what condemned the new version."""
        while slot.record["probation"]:
            await slot.judged.wait()
        return slot.verdict or ""
