# Changing what is installed: a name is switched to a new version, which is then on probation.
# The old version stays until the new one is proved. Nothing is deleted first.
# What a hand does, start, stop and restart, is here as well: both are rare.

from micropython import const

from kodkod import port
from kodkod.apps import logs
from kodkod.apps.supervisor import Slot
from kodkod.errors import AppNotFound
from kodkod.signal import Signal

HELD_MS = 30000  # at least, that an image waits for its installation; tests make it shorter
_PROBATION_MS = const(10000)


class _Errand:
    # A change goes on to its end also when the link of who asked for it is cut.

    def __init__(self, supervisor, work):
        self.done = Signal()
        self.result = self.error = None
        self.over = False
        supervisor.kernel.task(supervisor.kernel.system, self._run(supervisor, work))

    async def _run(self, supervisor, work):
        try:
            async with supervisor.lock:
                self.result = await work
        except Exception as exc:
            self.error = exc
        self.over = True
        self.done.set()

    async def wait(self):
        while not self.over:
            await self.done.wait()
        if self.error:
            raise self.error
        return self.result


def install(supervisor, name, image, settings, defaults=None, trial=True):
    """Awaitable: `name` is `image` with `settings`, over `defaults` that the image brings; one
    catalog write, then old out, new in. Without `trial` there is no probation this time."""
    work = _install(supervisor, name, image, settings, defaults, trial)
    return _Errand(supervisor, work).wait()


async def _install(supervisor, name, image, settings, defaults, trial):
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
        if trial:
            probation = Slot(name, record).setting("probation_ms", _PROBATION_MS)
        if probation:
            record["probation"] = 1
        else:
            record["previous"] = record["previous_settings"] = None
    supervisor.catalog.put(name, record)
    release(supervisor, image)
    if slot:
        await _halt(supervisor, slot)
        slot.record = record
        slot.fault = ""
        slot.failures = []
        slot.restarts = 0
    else:
        slot = supervisor.slots[name] = Slot(name, record)
    if probation:
        _try(supervisor, slot, probation)
    supervisor.start(slot)
    sweep(supervisor)
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
    sweep(supervisor)
    logs.forget(name)


def make_room(supervisor, name):
    """Awaitable: the app is stopped and its image gone, before the new one is there (--force)."""
    return _Errand(supervisor, _make_room(supervisor, supervisor.slot(name))).wait()


async def _make_room(supervisor, slot):
    await _halt(supervisor, slot)
    image = slot.record["id"]
    if image not in needed(supervisor, slot) and supervisor.store.has(image):
        supervisor.store.remove(image)


# By hand


async def _halt(supervisor, slot):
    # Stop the instance gracefully; no policy starts it again.
    supervisor.cancel_timer(slot)
    slot.halting = True
    try:
        if slot.app:
            await slot.app.stop()
    finally:
        slot.halting = False
    slot.state = "stopped"


def stop(supervisor, slot):
    """Awaitable, `kod stop`: it stays stopped, also at the next boot, until it is started by
    hand. The app itself may ask for it, and ends meanwhile."""
    return _Errand(supervisor, _stop(supervisor, slot)).wait()


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


# What lies there


def needed(supervisor, but=None):
    """Ids of the images that something installed, running or arriving needs: all but one slot."""
    ids = {one[0] for one in supervisor.held}
    ids.update([app.image for app in supervisor.kernel.apps])
    for slot in supervisor.slots.values():
        if slot is not but:
            ids.update((slot.record["id"], slot.record["previous"]))
    return ids


def hold(supervisor, image):
    """An image is here: it is kept for a while, since its installation may come."""
    now = port.uptime_ms()
    held = supervisor.held
    held.append((image, now + HELD_MS))
    if not supervisor.holds or held[0][1] < now:  # or that failed, for want of memory
        supervisor.holds = True
        supervisor.later(HELD_MS, "let_go")


def let_go(supervisor):
    """Images whose time has passed are not waited for any more."""
    now = port.uptime_ms()
    held = supervisor.held
    held[:] = [one for one in held if one[1] > now]
    supervisor.holds = bool(held)
    if held:
        supervisor.later(HELD_MS, "let_go")
    sweep(supervisor)


def release(supervisor, image):
    """What one upload of `image` was held for is there."""
    for one in supervisor.held:
        if one[0] == image:
            supervisor.held.remove(one)
            break


def sweep(supervisor):
    """Remove the images that nothing needs."""
    try:
        supervisor.store.sweep(needed(supervisor))
    except (OSError, MemoryError) as exc:  # the next boot does it
        supervisor.log(logs.WARNING, "images that nothing needs stay: {}".format(exc))


# Probation


def _try(supervisor, slot, delay):
    if slot.trial:
        slot.trial.cancel()  # of the version that this one replaces
    slot.trial = supervisor.later(delay, "passed", slot)


def passed(supervisor, slot):
    """The time of its probation is over: it is proved, unless it has waited for memory."""
    slot.trial = None
    judge(supervisor, slot, "too little memory to start it" if slot.needed else "")
    if slot.needed:
        supervisor.start(slot)


def resume(supervisor, slot):
    """A boot found a version on probation: after a crash of the device it is condemned, else it
    has one more trial."""
    if slot.record["probation"] > 1 or port.reset_cause() in ("watchdog", "panic"):
        judge(supervisor, slot, "the device restarted during its probation")
    else:
        _put_anyway(supervisor, slot, probation=2)
        _try(supervisor, slot, slot.setting("probation_ms", _PROBATION_MS))


def judge(supervisor, slot, fault):
    """End the probation: `fault` is the text that condemns the new version, or "". The old one
    is then what the slot starts."""
    record = slot.record
    if supervisor.slots.get(slot.name) is not slot or not record["probation"]:
        return
    done = {"previous": None, "previous_settings": None, "probation": 0}
    slot.fault = fault
    if fault:
        done["id"] = record["previous"]
        done["settings"] = record["previous_settings"]
        done["defaults"] = _defaults(supervisor, record["previous"])
        text = "app '{}': the new version failed on probation: back to the old one"
        supervisor.log(logs.ERROR, text.format(slot.name))
    _put_anyway(supervisor, slot, **done)
    sweep(supervisor)
    slot.judged.set()


def quarantine(supervisor, slot):
    """What only a reset could stop starts no more; on probation, the old version does instead."""
    text = "app '{}' is quarantined: it ran away and nothing stopped it but a reset"
    text = text.format(slot.name)
    supervisor.log(logs.ERROR, text)
    if slot.record["probation"]:
        judge(supervisor, slot, text)
    else:
        _put_anyway(supervisor, slot, state="quarantined")


def _put_anyway(supervisor, slot, **changes):
    # When the flash takes no more, the change holds until the next boot, which comes to it again.
    try:
        supervisor.put(slot, **changes)
    except Exception as exc:
        text = "app '{}': its record is not written: {}"
        supervisor.log(logs.ERROR, text.format(slot.name, exc))
        slot.record = dict(slot.record)
        slot.record.update(changes)


def _defaults(supervisor, image):
    try:
        return supervisor.store.manifest(image).get("settings") or {}
    except Exception:  # its start will say what is wrong with it
        return {}


async def judgement(supervisor, slot):
    """Wait for the end of the probation; returns "" or what condemned the new version."""
    while slot.record["probation"] and supervisor.slots.get(slot.name) is slot:
        await slot.judged.wait()
    return slot.fault
