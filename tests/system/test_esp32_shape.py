"""The device in the shape of an ESP32: its heap, its stack, its budgets.

An ESP32 has 32-bit objects and 160 KB of heap for them. The unix port from pip has 64-bit ones.
This library takes 0.70 times as much of 32-bit objects (1.26.1, both builds of the unix port side
by side: 51,424 and 74,208 bytes of core): the heap here is larger by that, figures are smaller.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from kod import library, micropython
from simulated_device import EXAMPLES, ROOT, SimulatedDevice, until
from test_tutorial import heard, install_tutorial

SCALE = 0.70
HEAP = f"{160 / SCALE:.0f}k"  # 160 KB of 32-bit objects
CORE_KB = 32


def test_the_tutorial_runs_in_the_heap_of_an_esp32(tmp_path: Path, monkeypatch) -> None:
    device = SimulatedDevice(tmp_path, "small", ("--heap", HEAP))
    monkeypatch.setenv("KOD_HOME", str(device.home))
    device.start()
    try:
        install_tutorial(device)
        until(lambda: heard(device, "user1", "user2"))
        free = device.kod("info", "--json").json()["free_ram"]
        print(f"free with the tutorial running: {free * SCALE / 1024:.1f} KB of 160 KB, 32-bit")
    finally:
        device.stop()


SMALL = """
import asyncio
kept = bytearray(500)
async def main():
    while True:
        await asyncio.sleep(1)
"""


def test_an_app_too_many_waits_for_memory_and_disturbs_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = SimulatedDevice(tmp_path, "small", ("--heap", HEAP))
    monkeypatch.setenv("KOD_HOME", str(device.home))
    program = tmp_path / "small.py"
    program.write_text(SMALL)
    device.start()
    try:
        for name, file in (("provider", "provider"), ("user1", "user"), ("user2", "user2")):
            device.kod("install", name, EXAMPLES / "notification" / f"{file}.py")
        for count in range(40):
            last = device.kod("install", f"app{count}", program, code=None)
            if last.code:
                break
        assert count > 3
        assert last.err.splitlines()[-1] in (
            f"kod: 'app{count}' is installed and starts when there is memory for it; "
            "kod stop or uninstall another app",
            "kod: the device has no memory for that: kod stop or uninstall an app, or kod reset",
        )
        shown = device.kod("list").out
        records = {one["name"]: one for one in device.kod("list", "--json").json()}
        for name in ("provider", "user1", "user2"):
            assert (records[name]["state"], records[name]["restarts"]) == ("running", 0)
        assert "received: hello from" in device.kod("logs").out
        waiting = [name for name in records if records[name]["state"] != "running"]
        assert set(waiting) <= {f"app{count}", f"app{count - 1}"}
        for name in waiting:  # still: it may start at any time
            assert re.search(rf"^{name} +waiting for memory", shown, re.MULTILINE)
        for number in range(3):
            device.kod("uninstall", f"app{number}")
        until(lambda: set(device.states().values()) == {"running"}, seconds=30)
    finally:
        device.stop()


RESIDENT = """
import sys, gc, os, asyncio, json, hashlib, select, socket, cryptolib, binascii, struct
for part in ("Event", "Lock", "gather", "StreamReader"):
    getattr(asyncio, part)
sys.path.insert(0, sys.argv[1])
gc.collect()
before = gc.mem_alloc()
import kodkod.system.boot, kodkod.link.tcp

def booted():
    for done in kodkod.system.BOOT:
        kodkod.borrow.forget("kodkod." + done)
    # Of what a boot borrows, the names stay.
    for done in ("storage.catalog", "storage.store", "storage.clean", "apps.held"):
        kodkod.borrow.borrow("kodkod." + done)

booted()
gc.collect()
print(gc.mem_alloc() - before)
"""


def test_the_library_says_what_it_keeps_resident(tmp_path: Path) -> None:
    for name, data in library.files().items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    script = tmp_path / "resident.py"
    script.write_text(library.inside(RESIDENT))
    out = subprocess.run(
        [*micropython.command(), script, tmp_path / "lib"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout
    resident = int(out) * SCALE / 1024
    print(f"core library resident: {resident:.1f} KB in 32-bit objects, budget {CORE_KB} KB")
    assert resident > 0


def test_the_kernel_takes_at_most_ten_frames_below_an_app(tmp_path: Path) -> None:
    script = tmp_path / "depth.py"
    script.write_text(FRAMES_PROGRAM)
    result = subprocess.run(
        [*micropython.command(), script, ROOT / "lib", EXAMPLES / "notification"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert result.returncode == 0, result
    depths = dict(re.findall(r"^depth (\w+) (\d+)$", result.stdout, re.MULTILINE))
    print(f"kernel frames below an app's code: {depths}")
    assert set(depths) == {"main", "handler", "closed", "notified"}
    assert sum(map(int, depths.values())) <= 10  # also if all of them were nested


# A traceback holds the frames between the `except` and the `raise`: so what an app raises is let
# out to where the kernel catches it, and the frames that are the kernel's own are counted there.
FRAMES_PROGRAM = """
import sys, io, asyncio
sys.path[:0] = sys.argv[1:3]
import kodkod
from kodkod.apps import logs
from kodkod.services import ServiceClient, ServiceProvider, ServiceResource
from kodkod.services import ServiceResourceProxy, ServiceSelector

SELECTOR = ServiceSelector("frames", 1, 0)
whole = logs.traceback

def traceback(exc):
    text = io.StringIO()
    sys.print_exception(exc, text)
    frames = [line for line in text.getvalue().split("\\n") if "File " in line]
    logs.native("depth", exc.args[0], len([line for line in frames if "/kodkod/" in line]))
    return whole(exc)

logs.traceback = traceback

class Provider(ServiceProvider):
    def __init__(self):
        super().__init__("frames", 1, 0)
        self.provides(SELECTOR, self)
    def handle(self, index, arguments, gid, client):
        if index == 1:
            raise MemoryError("handler")
        held = Held(self, client, True)
        held.notify(1)
        return held

class Held(ServiceResource):
    def on_closed(self):
        raise ValueError("closed")

class Proxy(ServiceResourceProxy):
    def on_notified(self, value):
        raise ValueError("notified")

async def provide():
    Provider().install()

async def use():
    client = await ServiceClient(SELECTOR).open()
    proxy = Proxy(client, await client.invoke(0))
    await asyncio.sleep_ms(20)
    proxy.close()
    try:
        await client.invoke(1)
    except Exception:
        pass
    raise ValueError("main")

def main():
    kodkod.spawn(provide)
    kodkod.spawn(use)

kodkod.run(main)
"""


# How deep a plain function can call itself tells how much of the stack is left: what is lacking
# in a handler, compared with a program's first line, is what lies below it.
DEPTH_PROGRAM = """
import sys, asyncio
sys.path[:0] = sys.argv[1:3]

def left(count=0):
    try:
        return left(count + 1)
    except RuntimeError:
        return count

whole = left()

import kodkod
from client import Connection, NotificationServiceClient
from provider import NotificationServiceProvider
used = {}

def note(where):
    used[where] = max(used.get(where, 0), whole - left())

class Provider(NotificationServiceProvider):
    def handle(self, index, arguments, gid, client):
        note("handler")
        return super().handle(index, arguments, gid, client)
    def on_closed(self, client):
        note("hook")

class Proxy(Connection):
    def on_notified(self, notification):
        note("notified")
        super().on_notified(notification)

async def use():
    client = await NotificationServiceClient().open()
    connection = Proxy(client, await client.invoke(0))
    await asyncio.sleep_ms(20)
    await connection.send("hello")
    await connection.receive()
    note("main")
    connection.close()
    client.close()

async def provide():
    provider = Provider()
    provider.install()
    await asyncio.sleep_ms(100)
    await provider.uninstall()

def main():
    kodkod.spawn(provide)
    kodkod.spawn(use)
    kodkod.spawn(use)

assert kodkod.run(main) == 0
for where in used:
    print(where, used[where])
"""


def test_the_tutorial_needs_at_most_forty_frames_of_stack(tmp_path: Path) -> None:
    script = tmp_path / "stack.py"
    script.write_text(DEPTH_PROGRAM)
    result = subprocess.run(
        [*micropython.command(), script, ROOT / "lib", EXAMPLES / "notification"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert result.returncode == 0, result
    used = {where: int(frames) for where, frames in map(str.split, result.stdout.splitlines())}
    print(f"stack used, in frames of a plain function: {used}")
    assert set(used) == {"handler", "hook", "notified", "main"}
    assert max(used.values()) <= 40


def test_device_code_takes_nothing_that_only_a_computer_has() -> None:
    library = ROOT / "lib" / "kodkod"
    for path in sorted(library.rglob("*.py")):
        if path.parent.name != "port":
            found = re.findall(
                r"^\s*(?:import|from) (?:_thread|ffi)\b|os\.system\(", path.read_text(), re.M
            )
            assert not found, path
