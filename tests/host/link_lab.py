"""What the tests of the link share: a device in a process."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable

from interpreter import ROOT, micropython
from kod import link
from kod.remote_service import RemoteService

SERVICE = "5a1e0a9c-6c1d-4a86-9c0e-0123456789ab"
KEY = bytes.fromhex("00112233445566778899aabbccddeeff")
DEEP = os.environ.get("KODKOD_DEEP") == "1"


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
            [*micropython(), "-X", f"heapsize={heap}", program, str(self.port), key.hex(), mode],
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


def service(connection: link.Connection) -> RemoteService:
    return connection.open(SERVICE, 1, 2)


def until(condition: Callable[[], object], seconds: float = 15) -> None:
    """Waits for what must become true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.01)
