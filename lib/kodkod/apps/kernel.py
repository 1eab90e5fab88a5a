# What apps may ask of the kernel: run, spawn, ready, defines. Loaded when one asks.

from kodkod import message
from kodkod.apps import loader
from kodkod.services import kernel as seam


async def _main(main, args):
    result = main(*args)
    if hasattr(result, "send"):
        await result


def run(main, *args):
    """Start the kernel with a first app; returns its exit code when every app has ended.

    `main` is a function, plain or async. In an app's module body it makes `main` the app's own
    main task, as `asyncio.run` does.
    """
    if loader.kernel:
        return loader.hand_over(_main(main, args))
    from kodkod.apps import begin

    return begin.run(begin.start().app("main"), _main(main, args))


def spawn(main, *args, name=None):
    """Start `main(*args)` as a further app: own record, tasks and resources, same modules.

    `args` are copied as values. Parent and child end independently; a stop, a new version or a
    new start of an installed app ends all that it has spawned. Returns the app.
    """
    if name is not None:  # it stands in the log, and is told over links
        if type(name) is not str or ":" in name or name == "kodkod":
            raise ValueError("spawn: {!r} cannot name an app".format(name))
        message.copy(name, 64, "name")
    return seam.shielded(_spawn, name, main, message.copy(args))


def _spawn(name, main, args):
    kernel = loader.kernel
    parent = kernel.current or kernel.system
    if parent.verdict:  # or its end could go on for ever
        raise RuntimeError("app '{}' is ending: it spawns no more".format(parent.name))
    app = kernel.app(name or "{}.{}".format(parent.origin, kernel.next_gid), parent)
    try:
        return kernel.start(app, _main(main, args))
    except MemoryError:
        kernel.apps.remove(app)
        raise


def ready():
    """Say that this app works: a new version's probation is passed."""
    kernel = loader.kernel
    if kernel.supervisor:
        kernel.supervisor.ready(kernel.current)


def defines():
    """What `kod install -D key=value` gave this app, a dict of str."""
    app = loader.kernel and loader.kernel.current
    return app.defines if app else {}
