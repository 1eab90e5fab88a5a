# Puts the kernel together and its hooks in force, and takes them back. A device forgets this
# module once it has booted.

import asyncio
import builtins

from kodkod.apps import loader, logs, scheduler, upkeep
from kodkod.apps.guard import Guard
from kodkod.services import kernel as seam


def start():
    """Make the kernel and put its hooks in force; nothing runs before its `run()`."""
    guard = Guard()
    kernel = scheduler.Scheduler(guard)
    seam.kernel = loader.kernel = logs.kernel = kernel
    core = asyncio.core
    _replace(builtins, "print", logs.print_)
    _replace(builtins, "input", logs.input_)
    _replace(builtins, "__import__", loader.import_)
    _replace(builtins, "open", loader.open_)
    for place in (asyncio, core):
        _replace(place, "create_task", kernel.create_task)
        _replace(place, "run", loader.hand_over)
        _replace(place, "new_event_loop", core.get_event_loop)
        _replace(place, "current_task", loader.current_task)
    _replace(core.SingletonGenerator, "__next__", scheduler.sleep)
    _replace(core.IOQueue, "_enqueue", loader.enqueue)
    _replace(core, "run_until_complete", loader.hand_over)
    _replace(core.Loop, "run_until_complete", loader.hand_over)
    _replace(core.Loop, "run_forever", loader.hand_over)
    _replace(core.Loop, "set_exception_handler", seam.nothing)
    guard.start(kernel)
    kernel.upkeep = kernel.task(kernel.system, upkeep.run(kernel))
    return kernel


def _replace(place, name, value):
    loader.replaced.append((place, name, getattr(place, name)))
    setattr(place, name, value)


def stop():
    """Take the hooks back; what still waits in the kernel's queue runs no more."""
    loader.kernel.guard.stop()
    while loader.replaced:
        setattr(*loader.replaced.pop())
    asyncio.new_event_loop()
    del seam.kernel  # back to the plain one
    loader.kernel = None


def run(app, coro, write=None):
    """Run the kernel with `coro` as main of `app`, until every app has ended; its exit code.
    Each line of their logs is given to `write`, or printed."""
    kernel = app.kernel
    write = write or _show
    logs.followers.append(write)
    try:
        kernel.on_idle = lambda: setattr(kernel, "ending", app.code)
        kernel.start(app, coro)
        return kernel.run()
    finally:
        logs.followers.remove(write)
        stop()


def _show(line):
    logs.native(line[4])
