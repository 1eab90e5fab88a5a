# Which images stay on the flash: what something needs, and what has arrived and is not installed
# yet.

from kodkod import port
from kodkod.apps import logs

HELD_MS = 30000  # at least, that an image waits for its installation; tests make it shorter


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
        supervisor.later(HELD_MS, "held.let_go")


def let_go(supervisor):
    """Images whose time has passed are not waited for any more."""
    now = port.uptime_ms()
    held = supervisor.held
    held[:] = [one for one in held if one[1] > now]
    supervisor.holds = bool(held)
    if held:
        supervisor.later(HELD_MS, "held.let_go")
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
