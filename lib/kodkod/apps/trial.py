# Probation: a new version is proved when its time is over and nothing has failed, else the one
# before it is back.

from micropython import const

from kodkod import port
from kodkod.apps import held, logs

_PROBATION_MS = const(10000)


def length(slot):
    """Milliseconds of its probation; 0: it has none."""
    return slot.setting("probation_ms", _PROBATION_MS)


def begin(supervisor, slot, delay):
    """The version that the slot has now is on probation for `delay` ms."""
    if slot.trial:
        slot.trial.cancel()  # of the version that this one replaces
    slot.trial = supervisor.later(delay, "trial.passed", slot)


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
        begin(supervisor, slot, length(slot))


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
    held.sweep(supervisor)
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
