"""A man in the middle of a link over TCP: he records, alters and cuts."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable


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
            with contextlib.suppress(OSError):  # it may have hung up by itself
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


class Cutter:
    """Cuts the line after a number of pieces in one direction."""

    def __init__(self, way: str, left: int, part: bool) -> None:
        self.way = way
        self.left = left
        self.part = part

    def __call__(self, way: str, data: bytes) -> bytes | None:
        if way != self.way:
            return data
        self.left -= 1
        if self.left >= 0:
            return data
        if self.part:
            raise Cut(data[: len(data) // 2])
        return None


class Counter:
    """Counts the pieces of each direction."""

    def __init__(self) -> None:
        self.counts = {"up": 0, "down": 0}

    def __call__(self, way: str, data: bytes) -> bytes:
        self.counts[way] += 1
        return data


def _hang_up(line: socket.socket) -> None:
    with contextlib.suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)
