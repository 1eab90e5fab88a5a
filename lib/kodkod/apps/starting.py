# An installed app becomes a running one: its record gets what its image and its settings say.
# Loaded for that and let go.

import gc

from micropython import const

from kodkod import port
from kodkod.apps import loader, logs, upkeep
from kodkod.storage import flash

# Bytes beside an app's code: what the kernel keeps of it, and the first objects of its own.
_RECORDS = const(3072)
_ERRAND = const(15360)  # that a host which is in takes to install or remove something


def start(supervisor, slot):
    """Start an instance of `slot`, which has none. MemoryError: there is too little for it."""
    kernel = supervisor.kernel
    supervisor.stop_all(slot.name)  # what an instance before this one has spawned
    app = kernel.app(slot.name)
    slot.started = port.uptime_ms()
    slot.reason = slot.code = None
    before = slot.needed
    try:
        slot.needed = memory(supervisor, slot.record["id"])
        check_memory(slot.needed)
        slot.needed = max(slot.needed, before) + 1024  # should it be no use
        prepare(supervisor, app, slot.record["id"], slot.record["settings"])
        slot.needed = 0
    except Exception as exc:  # an image that cannot be read: the others start
        kernel.apps.remove(app)
        if isinstance(exc, MemoryError):
            raise
        slot.needed = 0
        slot.state = slot.reason = "failed"
        slot.code = 1
        slot.traceback = logs.traceback(exc)
        kernel.log_exception(app, exc, "cannot start")
        if slot.record["probation"]:
            supervisor.part("trial").judge(supervisor, slot, slot.traceback)
            supervisor.start(slot)
        return
    slot.app = app
    slot.state = "running"
    app.on_end = supervisor.ended
    timeout = slot.setting("timeout_ms")
    if timeout:
        supervisor.set_timer(slot, timeout, supervisor.time_out)


def memory(supervisor, image):
    """Bytes of memory that are to be free before an app of `image` starts."""
    store = supervisor.store.open()
    folder = store.path(image) + "/"
    files = store.manifest(image)["files"]
    code = [name for name in files if name[-4:] == ".mpy" or name[-3:] == ".py"]
    needed = _RECORDS + sum([flash.stat(folder + name)[6] for name in code])
    kernel = supervisor.kernel
    return needed + upkeep.low(kernel) + (0 if upkeep.has_host(kernel) else _ERRAND)


def check_memory(needed):
    """MemoryError unless as many bytes are free: an app that takes them would be stopped at once,
    and the others be short of memory meanwhile."""
    gc.collect()
    free = gc.mem_free()
    if free < needed:
        raise MemoryError("{} B of memory are free, {} are needed".format(free, needed))


def prepare(supervisor, app, image, settings):
    """Make `app` an instance of the stored `image`, with its main task."""
    app.image = image
    store = supervisor.store.open()
    coro = make(app, store.path(image), store.manifest(image), settings)
    app.data = "{}/data/{}".format(port.ROOT, app.name)
    supervisor.kernel.start(app, coro)


def make(app, folder, manifest, settings):
    """`app` gets what its image and its settings say; returns the coroutine of its main task."""
    chosen = dict(manifest.get("settings") or {})
    defines = chosen.get("defines") or {}
    chosen.update(settings)
    defines.update(settings.get("defines") or {})
    assign(app, folder)
    app.defines = defines
    app.permissions = manifest.get("permissions")
    limit = chosen.get("limit_ms")
    if limit is not None:
        app.limit = limit
    args = chosen.get("args") or ()
    return loader.main(app, manifest["entry"], args, manifest.get("script"))


def assign(app, folder):
    """`app` lives in `folder`: its top-level modules and packages are its own."""
    app.dir = folder
    app.names = [
        entry.split(".")[0]
        for entry in flash.listdir(folder)
        if "." not in entry or entry[-3:] == ".py" or entry[-4:] == ".mpy"
    ]
