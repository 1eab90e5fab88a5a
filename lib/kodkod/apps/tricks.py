# What an app sees of modules with which it could stop the guard, the heap or the kernel.

from kodkod.errors import Denied


def _nothing(*_):
    pass


def _no_thread(*_):
    raise Denied("threads cannot be stopped nor accounted: use asyncio.create_task")


def _no_lock():
    raise Denied("a wait for it would stop all apps, and there are no threads: use asyncio.Lock")


def _thread(app, view):
    """For `import _thread`."""
    view.start_new_thread = _no_thread
    view.allocate_lock = _no_lock


def gc(app, view):
    """For `import gc`."""
    view.disable = view.threshold = _nothing


def micropython(app, view):
    """For `import micropython`: scheduled functions run as steps of the app."""
    from kodkod.apps import callbacks

    view.kbd_intr = view.heap_lock = view.heap_unlock = _nothing
    view.schedule = callbacks.schedule
