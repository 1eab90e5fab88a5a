# An installed app becomes a running one: its record gets what its image and its settings say.
# Loaded for that and let go.

import gc

from micropython import const

from kodkod import port
from kodkod.apps import loader, logs, upkeep
from kodkod.storage import flash

_RECORDS = const(1024)  # bytes of memory that an app takes beside its code


def start(supervisor, slot):
    """Start an instance of `slot`, which has none. MemoryError: there is too little for it."""
    kernel = supervisor.kernel
    app = kernel.app(slot.name)
    slot.started = port.uptime_ms()
    slot.reason = slot.code = None
    try:
        prepare(supervisor, app, slot.record["id"], slot.record["settings"])
    except Exception as exc:  # an image that cannot be read: the others start
        kernel.apps.remove(app)
        if isinstance(exc, MemoryError):
            raise
        slot.state = slot.reason = "failed"
        slot.code = 1
        slot.traceback = logs.traceback(exc)
        kernel.log_exception(app, exc, "cannot start")
        if slot.record["probation"]:
            supervisor.switch().judge(supervisor, slot, slot.traceback)
            supervisor.start(slot)
        return
    slot.app = app
    slot.state = "running"
    app.on_end = supervisor.ended
    timeout = slot.setting("timeout_ms")
    if timeout:
        supervisor.set_timer(slot, timeout, supervisor.time_out)


def prepare(supervisor, app, image, settings):
    """Make `app` an instance of the stored `image`, with its main task."""
    app.image = image
    store = supervisor.store.open()
    manifest = store.manifest(image)
    _check_memory(store.path(image), manifest["files"])
    chosen = dict(manifest.get("settings") or {})
    defines = chosen.get("defines") or {}
    chosen.update(settings)
    defines.update(settings.get("defines") or {})
    assign(app, store.path(image))
    app.data = "{}/data/{}".format(port.ROOT, app.name)
    app.defines = defines
    app.permissions = manifest.get("permissions")
    limit = chosen.get("limit_ms")
    if limit is not None:
        app.limit = limit
    args = chosen.get("args") or ()
    coro = loader.main(app, manifest["entry"], args, manifest.get("script"))
    supervisor.kernel.start(app, coro)


def _check_memory(folder, files):
    # It would be stopped at once, and the others would have been short of memory meanwhile.
    code = sum([flash.stat(folder + "/" + name)[6] for name in files if name[-4:] == ".mpy"])
    needed = upkeep.LOW + _RECORDS + code
    gc.collect()
    free = gc.mem_free()
    if free < needed:
        raise MemoryError("{} B of memory are free, {} are needed".format(free, needed))


def assign(app, folder):
    """`app` lives in `folder`: its top-level modules and packages are its own."""
    app.dir = folder
    app.names = [
        entry.split(".")[0]
        for entry in flash.listdir(folder)
        if "." not in entry or entry[-3:] == ".py" or entry[-4:] == ".mpy"
    ]
