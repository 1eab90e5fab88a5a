# What a boot does with what is installed. A device forgets this module once it has booted.

import asyncio

from kodkod.apps import boots, logs
from kodkod.apps.supervisor import Slot


def load(supervisor):
    """Take up the catalog, and repair what a power cut left."""
    try:
        catalog = supervisor.catalog.open()
        for name in catalog.names():
            supervisor.slots[name] = Slot(name, catalog.get(name))
        supervisor.store.repair(supervisor.part("held").needed(supervisor))
        for name, why in catalog.problems().items():
            text = "app '{}': {}; its image is kept; kod uninstall {} removes it"
            if name in supervisor.slots:
                text = "app '{}': {}; what it said before counts, until it is installed again"
            supervisor.log(logs.ERROR, text.format(name, why, name))
    except OSError as exc:  # what runs is worth more than what is clean, and links than both
        supervisor.kernel.log_exception(None, exc, "reading and repairing the flash")


def quarantine(supervisor, name):
    """Nothing but a reset could stop `name`: it starts no more before a hand does it."""
    if name in supervisor.slots:
        supervisor.part("trial").quarantine(supervisor, supervisor.slots[name])
    elif name:  # of kod run, or gone by now
        supervisor.log(logs.ERROR, "app '{}' ran away: only a reset stopped it".format(name))


async def start(supervisor):
    """Start what is installed, in the order of `after`, each after the one before has made its
    first step."""
    for name in _order(supervisor.slots):
        slot = supervisor.slots[name]
        if slot.record["probation"]:
            supervisor.part("trial").resume(supervisor, slot)
        if slot.record["state"]:
            slot.state = slot.record["state"]  # "stopped" by hand, or "quarantined"
        else:
            boots.starting(name)
            supervisor.start(slot)
            await asyncio.sleep_ms(0)
    boots.starting("")


def _order(slots):
    done = []

    def visit(name, above):
        slot = slots.get(name)
        if slot and name not in done and name not in above:
            for before in slot.setting("after", ()):
                visit(before, above + (name,))
            done.append(name)

    for name in sorted(slots):
        visit(name, ())
    return done
