"""Device code takes nothing that a stock ESP32 with MicroPython 1.26 lacks.

Names of C modules are looked up in the published stubs (micropython-esp32-stubs 1.26). The stubs
of `os`, `asyncio`, `sys` and `io` are CPython's with additions: those are written down here.
"""

from __future__ import annotations

import ast
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from kod.flash import plan
from kod.flash.plan import is_host_only

ROOT = Path(__file__).parents[2]
STUBS = Path(sysconfig.get_paths()["purelib"])

# C modules whose stubs are an ESP32's own.
STUBBED = {
    "machine",
    "network",
    "esp32",
    "micropython",
    "select",
    "socket",
    "cryptolib",
    "hashlib",
}
STUBBED |= {"time", "gc", "binascii", "errno", "random", "vfs", "neopixel", "esp", "deflate"}

# Names the stubs miss although the firmware has them, with where that is known from.
MISSED_BY_STUBS: dict[str, str] = {
    "micropython.heap_locked": "py/modmicropython.c: on wherever heap_lock is",
}

# extmod/modos.c with ports/esp32/mpconfigport.h (no getenv, system or errno there); dupterm_notify
# is MICROPY_PY_OS_DUPTERM_NOTIFY, used on a stock 1.26.1.
OS = {"uname", "urandom", "sep", "chdir", "getcwd", "listdir", "mkdir", "remove", "rename"}
OS |= {"rmdir", "unlink", "stat", "statvfs", "sync", "ilistdir", "mount", "umount"}
OS |= {"dupterm", "dupterm_notify", "VfsFat", "VfsLfs2"}

# extmod/asyncio/core.py and the lazy attributes of extmod/asyncio/__init__.py
CORE = {"CancelledError", "TimeoutError", "SingletonGenerator", "IOQueue", "Task", "TaskQueue"}
CORE |= {"Loop", "sleep", "sleep_ms", "create_task", "run", "run_until_complete", "cur_task"}
CORE |= {"current_task", "get_event_loop", "new_event_loop", "_task_queue", "_io_queue"}
CORE |= {"ticks", "ticks_add", "ticks_diff", "_exc_context", "_promote_to_task"}
CORE |= {"sys", "select", "__dict__"}
ASYNCIO = {"wait_for", "wait_for_ms", "gather", "Event", "ThreadSafeFlag", "Lock", "core"}
ASYNCIO |= {"open_connection", "start_server", "StreamReader", "StreamWriter", "_attrs"}
ASYNCIO |= CORE - {"_task_queue", "_io_queue", "_exc_context", "_promote_to_task", "select"}

# py/modsys.c and py/modio.c with the options of ports/esp32
SYS = {"argv", "path", "modules", "implementation", "platform", "version", "version_info"}
SYS |= {"exit", "print_exception", "stdin", "stdout", "stderr", "byteorder", "maxsize", "ps1"}
IO = {"open", "IOBase", "StringIO", "BytesIO"}

WRITTEN = {"os": OS, "asyncio": ASYNCIO, "asyncio.core": CORE, "sys": SYS, "io": IO}

# What "both" files import on CPython alone, behind a test of which of the two runs them.
ON_CPYTHON = {("lib/kodkod/errors.py", "traceback")}

# Modules of a stock ESP32: built in, or frozen (asyncio, neopixel and the like).
MODULES = STUBBED | {"os", "asyncio", "sys", "io", "json", "struct", "re", "math", "array"}
MODULES |= {"collections", "builtins", "uctypes", "heapq", "tls", "ssl", "framebuf", "platform"}


def device_files() -> list[Path]:
    found = [*ROOT.glob("lib/kodkod/**/*.py"), *ROOT.glob("firmware/*.py")]
    names = {path.relative_to(ROOT).as_posix(): path for path in found}
    names.pop("firmware/manifest.py", None)  # for MicroPython's build
    return [path for name, path in sorted(names.items()) if not is_host_only(name)]


@cache
def stub(module: str) -> ast.Module:
    return ast.parse((STUBS / f"{module}.pyi").read_text())


def _members(body: list[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name, node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, node
        elif isinstance(node, ast.Assign):
            yield from ((one.id, node) for one in node.targets if isinstance(one, ast.Name))
        elif isinstance(node, ast.ImportFrom):
            yield from ((one.asname or one.name, node) for one in node.names)
        elif isinstance(node, ast.If):
            yield from _members([*node.body, *node.orelse])


def has_member(module: str, *path: str) -> bool:
    """Whether the stub of `module` knows path[0], and its class path[0] knows path[1]."""
    found = [node for name, node in _members(stub(module).body) if name == path[0]]
    if len(path) == 1 or not found:
        return bool(found)
    classes = [node for node in found if isinstance(node, ast.ClassDef)]
    if not classes:
        return True  # a function or a value: what it returns is not followed
    for one in classes:
        if any(name == path[1] for name, _ in _members(one.body)):
            return True
        bases = [base.id for base in one.bases if isinstance(base, ast.Name)]
        if any(base != path[0] and has_member(module, base, path[1]) for base in bases):
            return True
    return False


def allowed(module: str, path: tuple[str, ...]) -> bool:
    if f"{module}.{path[0]}" in MISSED_BY_STUBS:
        return True
    if (module, path[0]) == ("asyncio", "core") and len(path) > 1:
        return path[1] in CORE
    if module in WRITTEN:
        return path[0] in WRITTEN[module]
    return module not in STUBBED or has_member(module, *path)


class Uses(ast.NodeVisitor):
    """Collects (module, path, line) of every name that a file takes from a module.

    Knows `import m`, `import m as n`, `from m import x as y`, and variables and attributes that
    are assigned an instance of a module's class.
    """

    def __init__(self, tree: ast.Module) -> None:
        self.modules: dict[str, str] = {}
        self.names: dict[str, tuple[str, ...]] = {}
        self.imports: list[tuple[str, int]] = []
        self.found: list[tuple[str, tuple[str, ...], int]] = []
        for node in ast.walk(tree):
            self._import(node)
        for node in ast.walk(tree):
            self._assign(node)
        self.visit(tree)

    def _import(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            for one in node.names:
                self.imports.append((one.name, node.lineno))
                self.modules[one.asname or one.name.split(".")[0]] = (
                    one.name if one.asname else one.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            self.imports.append((node.module, node.lineno))
            for one in node.names:
                if (node.module, one.name) == ("asyncio", "core"):
                    self.modules[one.asname or one.name] = "asyncio.core"
                else:
                    self.names[one.asname or one.name] = (node.module, one.name)
                self.found.append((node.module, (one.name,), node.lineno))

    def _assign(self, node: ast.AST) -> None:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            made = self._path(node.value.func)
            for target in node.targets:
                key = _key(target)
                if made and len(made) == 2 and key:
                    self.names[key] = made

    def _path(self, node: ast.expr) -> tuple[str, ...] | None:
        """(module, name, ...) that an expression stands for."""
        if isinstance(node, ast.Call):
            return self._path(node.func)
        key = _key(node)
        if key in self.names:
            return self.names[key]
        if isinstance(node, ast.Name):
            return (self.modules[node.id],) if node.id in self.modules else None
        if isinstance(node, ast.Attribute):
            inner = self._path(node.value)
            return (*inner, node.attr) if inner else None
        return None

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        outer = self.names
        self.names = {key: made for key, made in outer.items() if not key.startswith("self.")}
        for one in ast.walk(node):
            self._assign(one)
        self.generic_visit(node)
        self.names = outer

    def visit_Attribute(self, node: ast.Attribute) -> None:
        path = self._path(node)
        if path and len(path) > 1:
            self.found.append((path[0], path[1:], node.lineno))
        self.generic_visit(node)


def _key(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}" if node.value.id == "self" else ""
    return ""


def lacking(source: str, name: str = "") -> list[str]:
    """What `source` takes that a stock ESP32 has not."""
    uses = Uses(ast.parse(source))
    missing = [
        f"line {line}: import {module}"
        for module, line in uses.imports
        if module.split(".")[0] not in MODULES | {"kodkod"} and (name, module) not in ON_CPYTHON
    ]
    for module, path, line in uses.found:
        if not allowed(module, path):
            missing.append(f"line {line}: {module}.{'.'.join(path)}")
    return sorted(set(missing))


@pytest.mark.parametrize(
    "path", device_files(), ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_every_name_exists_on_a_stock_esp32(path: Path) -> None:
    assert lacking(path.read_text(), path.relative_to(ROOT).as_posix()) == []


SELF_WLAN = """
import network
class A:
    def start(self):
        self.wlan = network.WLAN()
        self.wlan.nothing()
"""


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import _thread", "import _thread"),
        ("import weakref", "import weakref"),
        ("import os\nos.getenv('HOME')", "os.getenv"),
        ("from os import system", "os.system"),
        ("import machine\nmachine.Nothing()", "machine.Nothing"),
        ("import machine\nmachine.Pin.NOTHING", "machine.Pin.NOTHING"),
        ("import machine\nmachine.RTC().nothing()", "machine.RTC.nothing"),
        ("import machine\nt = machine.Timer(0)\nt.nothing()", "machine.Timer.nothing"),
        ("from machine import Pin\nPin(2).nothing()", "machine.Pin.nothing"),
        (SELF_WLAN, "network.WLAN.nothing"),
        ("import asyncio\nasyncio.Queue()", "asyncio.Queue"),
        ("from asyncio import TaskGroup", "asyncio.TaskGroup"),
        ("from asyncio import core\ncore.nothing", "asyncio.core.nothing"),
        ("import hashlib\nhashlib.sha512()", "hashlib.sha512"),
        ("import hashlib as h\nh.blake2b()", "hashlib.blake2b"),
    ],
)  # fmt: skip
def test_a_name_that_does_not_exist_is_found(source: str, says: str) -> None:
    assert any(says in line for line in lacking(source))


@pytest.mark.parametrize(
    "source",
    [
        "import machine\nmachine.Timer(0).init(period=1, mode=machine.Timer.PERIODIC)",
        "from hashlib import sha256\nsha256(b'').digest()",
        "from cryptolib import aes\naes(b'', 2, b'').encrypt(b'')",
        "import os\nos.dupterm_notify(None)\nos.statvfs('/')",
        "from asyncio import core, sleep_ms\ncore._task_queue.push(1)",
        "import socket\ns = socket.socket()\ns.setsockopt(1, 2, 3)",
        "import network\nw = network.WLAN(network.WLAN.IF_STA)\nw.active(True)",
    ],
)
def test_a_name_that_exists_is_let_through(source: str) -> None:
    assert lacking(source) == []


def test_files_for_the_host_alone_do_not_go_on_a_device() -> None:
    wanted = {path.relative_to(ROOT).with_suffix("").as_posix() for path in device_files()}
    wanted = {name.removeprefix("firmware/") for name in wanted}
    assert {name.rpartition(".")[0] for name in plan.device_files()} == wanted
    assert not is_host_only("lib/kodkod/port/esp32.py")
    assert not is_host_only("lib/kodkod/link/session.py")
    for name in ("port/unix.py", "port/unix_console.py", "port/run_host.py", "link/aes_host.py"):
        assert is_host_only(f"lib/kodkod/{name}")
