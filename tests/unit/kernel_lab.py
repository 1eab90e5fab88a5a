# What the kernel's tests share: a kernel with a first task of the system in it, apps of
# functions or of files, and the proof that nothing of them is left.

import asyncio
import gc
import os
import sys

from kodkod.apps import begin, loader, logs, starting
from kodkod.services import registry

core = asyncio.core
ROOT = "/tmp/kodkod-kernel-{}".format(int.from_bytes(os.urandom(4), "big"))


def run(body, show=False):
    """Run `await body(kernel)` as the system of a new kernel; then end all apps, and require
    that nothing of them is left."""

    async def main():
        try:
            await body(kernel)
        except BaseException as exc:
            failed.append(exc)
        await kernel.stop_all()
        await settle()
        kernel.ending = 0

    failed = []
    modules = dict(sys.modules)
    paths = list(sys.path)
    for name in {line[3] for line in logs.lines}:
        logs.forget(name)
    kernel = begin.start()
    if show:
        logs.followers.append(lambda line: logs.native("   ", *line))
    try:
        task = kernel.task(kernel.system, main())
        while kernel.run() is _MEASURE:
            kernel.ending = None
            _measure()
        del task
        if not failed:
            whole(kernel, modules, paths)
    finally:
        begin.stop()
        logs.followers.clear()
        remove(ROOT)
    if failed:
        for line in logs.lines:
            print(*line)
        raise failed[0]


def whole(kernel, modules=None, paths=None, apps=()):
    """Nothing of ended apps is in any registry, and the kernel's own state is in order."""
    assert kernel.shield == 0, "shield {}".format(kernel.shield)
    assert kernel.guard.fired == 0
    assert not kernel.guard.hit
    names = [app.name for app in kernel.apps if app not in apps]
    assert names == ["kodkod"], names
    owners = [kernel.system] + list(apps)
    for provider in registry.providers:
        assert provider.owner_ in owners, "a provider of an ended app"
        for session in provider.sessions_.values():
            assert session.owner in owners, "a client of an ended app"
    for task in registry.changed._tasks:
        assert task.coro[1] in owners, "an ended app's task waits for a provider"
    for entry in core._io_queue.map.values():
        for task in entry[:2]:
            assert task is None or task.coro[1] in owners, "an ended app's task waits for data"
    held = []
    while True:
        task = core._task_queue.peek()
        if not task:
            break
        held.append((core._task_queue.pop(), task.ph_key, task.data))
    for task, at, data in held:
        core._task_queue.push(task, at)
        task.data = data
        owner = task.coro[1]
        assert owner in owners, "a task of {} is left".format(owner.name)
    assert loader.inside is None
    assert not loader.shadowed
    if modules is not None:
        more = set(sys.modules) - set(modules)
        assert not [name for name in more if name.split(".")[0] not in ("kodkod", "asyncio")], more
        for name in modules:
            assert sys.modules[name] is modules[name], name
        assert sys.path == paths


def kernel_test(body):
    """A test `async def test_...(kernel)`. The harness calls what it finds by name, and this
    runs the body in a kernel of its own."""
    return lambda: run(body)


async def settle(rounds=5):
    """Let every task that can go on do so."""
    for _ in range(rounds):
        await asyncio.sleep_ms(0)


def started(kernel, main, *args, name="app", limit=None):
    """An app that is a function."""
    app = kernel.app(name)
    if limit is not None:
        app.limit = limit

    async def first():
        result = main(*args)
        if hasattr(result, "send"):
            await result

    return kernel.start(app, first())


def remove(path):
    """Remove a folder and all in it."""
    try:
        mode = os.stat(path)[0]
    except OSError:
        return
    if mode & 0x4000:
        for name in os.listdir(path):
            remove(path + "/" + name)
        os.rmdir(path)
    else:
        os.remove(path)


def write(path, text):
    """Write a file; folders on its way are made."""
    parts = path.split("/")
    for end in range(2, len(parts)):
        try:
            os.mkdir("/".join(parts[:end]))
        except OSError:
            pass
    with loader.open(path, "w") as file:
        file.write(text)


def from_files(kernel, name, files, entry="main", args=(), limit=None):
    """An app of the given files, {"main.py": text}, in a folder of its own."""
    folder = ROOT + "/apps/" + name
    remove(folder)
    for path in files:
        write(folder + "/" + path, files[path])
    app = kernel.app(name)
    if limit is not None:
        app.limit = limit
    starting.assign(app, folder)
    app.data = ROOT + "/data/" + name
    return kernel.start(app, loader.main(app, entry, args))


def log(name):
    """What an app has logged, as one text."""
    return "\n".join([line[4] for line in logs.lines if line[3] == name])


async def ended(app, reason, code=None):
    """Wait for the end of `app`, which must be this one."""
    await app.wait()
    assert (app.reason, app.code) == (reason, 1 if code is None else code), (
        app.reason,
        app.code,
        log(app.name),
    )


_MEASURE = -1
_used = 0


async def heap(kernel):
    """Bytes in use. They are counted outside the loop: the collector takes for a pointer whatever
    lies on the C stack, and what a step has left there keeps whole apps."""
    kernel.ending = _MEASURE
    await asyncio.sleep_ms(0)
    return _used


def _measure():
    global _used
    gc.collect()
    _used = gc.mem_alloc()
