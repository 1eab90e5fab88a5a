"""What the tests of the link share: a device in a process, and a man in the middle."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from kod import link

ROOT = Path(__file__).parent.parent.parent
SERVICE = "5a1e0a9c-6c1d-4a86-9c0e-0123456789ab"
KEY = bytes.fromhex("00112233445566778899aabbccddeeff")
DEEP = os.environ.get("KODKOD_DEEP") == "1"


def interpreter() -> str:
    beside = Path(sys.executable).parent / "micropython"
    found = os.environ.get("MICROPYTHON") or (str(beside) if beside.exists() else None)
    return found or shutil.which("micropython") or "micropython"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Device:
    """tests/apps/link_device.py in a process of its own."""

    def __init__(
        self, heap: str = "1m", mode: str = "kernel", port: int = 0, key: bytes = KEY
    ) -> None:
        self.port = port or free_port()
        program = ROOT / "tests" / "apps" / "link_device.py"
        path = os.pathsep.join([str(ROOT / "lib"), ".frozen"])
        self.process = subprocess.Popen(
            [interpreter(), "-X", f"heapsize={heap}", program, str(self.port), key.hex(), mode],
            env=dict(os.environ, MICROPYPATH=path),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if mode != "console":
            self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    self.stop()
                    raise
                time.sleep(0.02)

    def connect(self, key: bytes = KEY, port: int | None = None) -> link.Connection:
        return link.connect_tcp("127.0.0.1", port or self.port, key)

    def raw(self) -> socket.socket:
        line = socket.create_connection(("127.0.0.1", self.port), 5)
        line.settimeout(10)
        return line

    def stop(self) -> str:
        """Ends it; what it printed."""
        self.process.kill()
        output, _ = self.process.communicate()
        return output.decode("utf-8", "replace")


def service(connection: link.Connection) -> link.RemoteService:
    return connection.open(SERVICE, 1, 2)


def until(condition: Callable[[], object], seconds: float = 15) -> None:
    """Waits for what must become true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.01)


class Cut(Exception):
    """Raised by `alter`: pass these bytes on, then cut the line."""

    def __init__(self, last: bytes) -> None:
        super().__init__(last)
        self.last = last


class Middle:
    """Passes one connection on and keeps what went by; `alter` may change or stop pieces.

    `alter(direction, data)` gets what arrived (direction "up": to the device), and gives what
    to pass on, or None to cut the line.
    """

    def __init__(
        self, port: int, alter: Callable[[str, bytes], bytes | None] = lambda way, data: data
    ) -> None:
        self.recorded: dict[str, bytearray] = {"up": bytearray(), "down": bytearray()}
        self._alter = alter
        self._target = port
        self._lines: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._start(self._accept)

    def _start(self, function: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=function, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            for line in (near, far):
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._lines += [near, far]
            self._start(self._pass, "up", near, far)
            self._start(self._pass, "down", far, near)

    def _pass(self, way: str, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                self.recorded[way] += data
                changed = self._alter(way, data)
                if changed is None:
                    break
                target.sendall(changed)
        except Cut as cut:
            target.sendall(cut.last)
        except OSError:
            pass
        for line in (source, target):
            _hang_up(line)

    def close(self) -> None:
        _hang_up(self._listener)
        self._listener.close()
        for line in self._lines:
            _hang_up(line)
        for thread in self._threads:
            thread.join(5)
        for line in self._lines:
            line.close()

    def __enter__(self) -> Middle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _hang_up(line: socket.socket) -> None:
    with contextlib.suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)
