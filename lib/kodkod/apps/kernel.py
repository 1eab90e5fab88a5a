# The kernel put together, and what apps may ask of it: run, spawn, ready, defines.

import asyncio

from kodkod import message
from kodkod.apps import loader, logs, upkeep
from kodkod.apps.guard import Guard
from kodkod.apps.scheduler import Scheduler
from kodkod.services import kernel as seam

kernel = None  # the one that runs
supervisor = None  # set on a device that has installed apps


def start():
    """Make the kernel and put its hooks in force; nothing runs before its `run()`."""
    global kernel
    guard = Guard()
    kernel = Scheduler(guard)
    seam.kernel = kernel
    loader.install(kernel)
    logs.install(kernel)
    guard.start(kernel)
    kernel.task(kernel.system, upkeep.run(kernel))
    return kernel


def stop():
    """Take the hooks back."""
    global kernel
    kernel.guard.stop()
    asyncio.new_event_loop()  # nothing that still waits is to wake up in another kernel
    loader.uninstall()
    logs.uninstall()
    del seam.kernel  # back to the plain one
    kernel = None


async def _main(main, args):
    result = main(*args)
    if hasattr(result, "send"):
        await result


def run(main, *args):
    """Start the kernel with a first app; returns its exit code when every app has ended.

    `main` is a function, plain or async. In an app's module body it makes `main` the app's own
    main task, as `asyncio.run` does.
    """
    if kernel:
        return loader.hand_over(_main(main, args))
    return run_first(start().app("main"), _main(main, args))


def run_first(app, coro):
    """Run the kernel with `coro` as main of `app`, until every app has ended; its exit code."""
    logs.followers.append(_show)
    try:
        kernel.on_idle = lambda: setattr(kernel, "ending", app.code)
        kernel.start(app, coro)
        return kernel.run()
    finally:
        logs.followers.remove(_show)
        stop()


def _show(line):
    logs.native(line[4])


def spawn(main, *args, name=None):
    """Start `main(*args)` as a further app: own record, tasks and resources, same modules.

    `args` are copied as values. Parent and child end independently. Returns the app.
    """
    return seam.shielded(_spawn, kernel.current or kernel.system, name, main, message.copy(args))


def _spawn(parent, name, main, args):
    app = kernel.app(name or "{}.{}".format(parent.name, kernel.next_gid), parent)
    try:
        return kernel.start(app, _main(main, args))
    except MemoryError:
        kernel.apps.remove(app)
        raise


def ready():
    """Say that this app works: a new version's probation is passed."""
    if supervisor:
        supervisor.ready(kernel.current)


def defines():
    """What `kod install -D key=value` gave this app, a dict of str."""
    app = kernel and kernel.current
    return app.defines if app else {}
