# Changing what is installed: a name is switched to a new version, which is then on probation.
# The old version stays until the new one is proved. Nothing is deleted first.
# What a hand does, start, stop and restart, is here as well: both are rare.

from kodkod.apps import held, logs, trial, upkeep
from kodkod.apps.supervisor import Slot
from kodkod.errors import AppNotFound
from kodkod.signal import Signal


class _Errand:
    # A change goes on to its end also when the link of who asked for it is cut.

    def __init__(self, supervisor, work):
        self.done = Signal()
        self.result = self.error = None
        self.over = False
        supervisor.kernel.task(supervisor.kernel.system, self._run(supervisor, work))

    async def _run(self, supervisor, work):
        queue = supervisor.queue
        try:
            queue.append(self)
            while queue[0] is not self:
                await queue[0].done.wait()
            self.result = await work
        except Exception as exc:
            self.error = exc
        finally:
            if self in queue:
                queue.remove(self)
            self.over = True
            self.done.set()

    async def wait(self):
        while not self.over:
            await self.done.wait()
        if self.error:
            raise self.error
        return self.result


def install(supervisor, name, image, settings, defaults=None, on_probation=True):
    """Awaitable: `name` is `image` with `settings`, over `defaults` that the image brings; one
    catalog write, then old out, new in. Without `on_probation` it has none this time."""
    work = _install(supervisor, name, image, settings, defaults, on_probation)
    return _Errand(supervisor, work).wait()


async def _install(supervisor, name, image, settings, defaults, on_probation):
    slot = supervisor.slots.get(name)
    old = slot.record if slot else None
    result = {"name": name, "id": image, "replaced": bool(old), "unchanged": False}
    if old and old["id"] == image and old["settings"] == settings and slot.app:
        result["unchanged"] = True
        result["probation_ms"] = 0
        return result
    record = {"id": image, "settings": settings, "state": None, "probation": 0}
    record["previous"] = record["previous_settings"] = None
    if defaults:
        record["defaults"] = defaults
    probation = 0
    if old and old["probation"]:
        # The version on trial is not proved: what is kept is the one before it.
        record["previous"] = old["previous"]
        record["previous_settings"] = old["previous_settings"]
    elif old:
        record["previous"] = old["id"]
        record["previous_settings"] = old["settings"]
    if record["previous"] in (None, image) or not supervisor.store.has(record["previous"]):
        record["previous"] = record["previous_settings"] = None
    else:
        if on_probation:
            probation = trial.length(Slot(name, record))
        if probation:
            record["probation"] = 1
        else:
            record["previous"] = record["previous_settings"] = None
    supervisor.catalog.put(name, record)
    held.release(supervisor, image)
    if slot:
        await _halt(supervisor, slot)
        slot.record = record
        slot.fault = ""
        slot.failures = []
        slot.restarts = 0
    else:
        slot = supervisor.slots[name] = Slot(name, record)
    if probation:
        trial.begin(supervisor, slot, probation)
    supervisor.start(slot)
    held.sweep(supervisor)
    result["probation_ms"] = probation
    return result


def uninstall(supervisor, name, keep_data):
    """Awaitable: the app, its image and (unless kept) its data are gone."""
    if name not in supervisor.slots and name not in supervisor.catalog.problems():
        raise AppNotFound("no app '{}' is installed; kod list shows all".format(name))
    return _Errand(supervisor, _uninstall(supervisor, name, keep_data)).wait()


async def _uninstall(supervisor, name, keep_data):
    slot = supervisor.slots.get(name)
    if slot:
        await _halt(supervisor, slot)
    supervisor.catalog.remove(name, keep_data)
    if slot:
        del supervisor.slots[name]
        slot.judged.set()
    held.sweep(supervisor)
    logs.forget(name)


def make_room(supervisor, name):
    """Awaitable: the app is stopped and its image gone, before the new one is there (--force)."""
    return _Errand(supervisor, _make_room(supervisor, supervisor.slot(name))).wait()


async def _make_room(supervisor, slot):
    await _halt(supervisor, slot)
    image = slot.record["id"]
    if image not in held.needed(supervisor, slot) and supervisor.store.has(image):
        supervisor.store.remove(image)


# By hand


async def _halt(supervisor, slot):
    # Stop the instance and what it has spawned gracefully; no policy starts it again.
    supervisor.cancel_timer(slot)
    slot.halting = True
    try:
        await _end([app for app in supervisor.kernel.apps if app.origin == slot.name])
    finally:
        slot.halting = False
    slot.state = "stopped"


async def _end(apps):
    for app in apps:
        app.kernel.end(app, "stopped", 0)
    for app in apps:
        await app.wait()


def stop(supervisor, slot):
    """Awaitable, `kod stop`: it stays stopped, also at the next boot, until it is started by
    hand. The app itself may ask for it, and ends meanwhile."""
    return _Errand(supervisor, _stop(supervisor, slot)).wait()


def end(supervisor, name):
    """The same of what has that name: an app that runs and is not installed, as one that was
    spawned, ends for good."""
    if name not in supervisor.slots:
        kernel = supervisor.kernel
        named = [app for app in kernel.apps if name in (app.name, app.origin)]
        apps = [app for app in named if upkeep.is_app(kernel, app)]
        if apps:
            return _Errand(supervisor, _end(apps)).wait()
    return stop(supervisor, supervisor.slot(name))


async def _stop(supervisor, slot):
    await _halt(supervisor, slot)  # first: a full flash may be this app's doing
    if slot.record["state"] != "stopped":
        supervisor.put(slot, state="stopped")


def start(supervisor, slot):
    """`kod start`: forget past failures, and start at boot again."""
    slot.failures = []
    supervisor.start(slot)
    if slot.record["state"]:
        supervisor.put(slot, state=None)


def restart(supervisor, slot):
    """Awaitable, `kod restart`."""
    return _Errand(supervisor, _restart(supervisor, slot)).wait()


async def _restart(supervisor, slot):
    await _halt(supervisor, slot)
    start(supervisor, slot)
