"""The link over a console: a line that carries text too, drops what is too much, and is noisy."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from kod import link, link_console
from kodkod.errors import KodkodError, UnknownMethod
from kodkod.link.frames import frame
from kodkod.link.line import END
from link_lab import DEEP, Device, service

BYTES_A_SECOND = 115_200 // 10
RING = 260


class Wire:
    """One direction of a serial line in real time: its rate, a ring that drops, noise."""

    def __init__(self, sink: socket.socket, noise: float, seed: int) -> None:
        self._sink = sink
        self._noise = noise
        self._random = random.Random(seed)
        self._free_at = 0.0

    def carry(self, data: bytes) -> None:
        now = time.monotonic()
        self._free_at = max(now, self._free_at) + len(data) / BYTES_A_SECOND
        time.sleep(max(0.0, self._free_at - time.monotonic()))
        out = bytearray()
        for byte in data:
            what = self._random.random() / self._noise if self._noise else 9
            if what < 1:
                byte ^= 1 << self._random.randrange(8)
            if not 1 <= what < 2:
                out.append(byte)
            if 2 <= what < 3:
                out.append(byte)
            if 3 <= what < 4:
                out.append(self._random.randrange(256))
        self._sink.sendall(out)


class Console:
    """A device whose console is reached through two wires; `cut()` unplugs the cable."""

    def __init__(self, noise: float = 0.0, seed: int = 1) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.device = Device(mode="console", port=server.getsockname()[1])
            server.settimeout(20)
            try:
                self._line, _ = server.accept()
            except OSError as error:
                raise AssertionError(self.device.stop()) from error
        self._line.settimeout(0.02)
        self._line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.noise = noise
        self._wire = Wire(self._line, noise, seed)
        self._random = random.Random(seed + 1)
        self.plugged = True
        self.sent = 0

    def stream(self) -> ConsoleStream:
        return ConsoleStream(self)

    def read(self) -> bytes:
        if not self.plugged:
            raise OSError("unplugged")
        try:
            data = self._line.recv(4096)
        except TimeoutError:
            return b""
        if not data:
            raise EOFError
        if not self.noise:
            return data
        return bytes(
            byte ^ (1 << self._random.randrange(8)) if self._random.random() < self.noise else byte
            for byte in data
        )

    def write(self, data: bytes) -> None:
        if not self.plugged:
            raise OSError("unplugged")
        self.sent += len(data)
        self._wire.carry(data)

    def stop(self) -> None:
        self._line.close()
        self.device.stop()


class ConsoleStream:
    """What a program on the host has of the console while it has it open."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.closed = False

    def read(self) -> bytes:
        return self._console.read()

    def write(self, data: bytes) -> None:
        self._console.write(data)

    def close(self) -> None:
        self.closed = True


@pytest.fixture(scope="module")
def console() -> Iterator[Console]:
    console = Console()
    yield console
    console.stop()


def connect(console: Console, timeout_ms: int = 10_000) -> link.Connection:
    return link.connect_console(console.stream(), "console", timeout_ms=timeout_ms)


def test_calls_and_notifications(console: Console) -> None:
    with connect(console) as connection:
        assert connection.hello["name"] == "desk"
        with service(connection) as opened:
            assert opened.call("echo", [{"a": b"\0" * 100}]) == {"a": b"\0" * 100}
            with pytest.raises(UnknownMethod):
                opened.call("nothing")
            handle = opened.call("open")
            opened.call("notify", [handle, 0, 20, True])
            assert list(opened.notifications(handle)) == list(range(20))


def test_text_is_kept_apart(console: Console) -> None:
    text = bytearray()
    stream = console.stream()
    with link.connect_console(stream, "console", text.extend) as connection:
        connection.ping()
        connection.ping()
    assert stream.closed
    assert b"a log line\na log line\n" in text
    assert not text.replace(b"boot: hello\r\n", b"").replace(b"a log line\n", b"")


def test_an_upload_uses_the_line(console: Console) -> None:
    """Of what the line carries, half or more are the upload's bytes."""
    pieces = 12
    with connect(console) as connection, service(connection) as opened:
        before = console.sent
        began = time.monotonic()
        for _ in opened.call_many(("write", [bytes(range(256)) * 4]) for _ in range(pieces)):
            pass
        seconds = time.monotonic() - began
        sent = console.sent - before
        print(f"{pieces * 1024 / seconds:.0f} B/s of {BYTES_A_SECOND}, {sent} B sent")
        assert pieces * 1024 > 0.6 * sent


def test_sessions_one_after_the_other(console: Console) -> None:
    for i in range(50 if DEEP else 5):
        with connect(console) as connection, service(connection) as opened:
            assert opened.call("echo", [i]) == i


def test_next_session_takes_over_from_one_that_went_without_a_word(console: Console) -> None:
    first = connect(console)
    opened = service(first)
    waiting = opened.submit("sleep", [60_000], timeout_ms=None)
    opened.call("none")
    console.plugged = False
    assert isinstance(waiting.exception(10), link.LinkLost)
    first.close()
    console.plugged = True
    with connect(console) as connection, service(connection) as opened:
        state = opened.call("state")
        assert state["clients"] == 1
        assert state["cancelled"] >= 1


def test_session_that_the_device_does_not_know_any_more(console: Console) -> None:
    """It was restarted, or another host has begun a session."""
    first = connect(console)
    opened = service(first)
    waiting = opened.submit("sleep", [60_000], timeout_ms=None)
    opened.call("none")
    console.plugged = False
    assert isinstance(waiting.exception(10), link.LinkLost)
    first.close()
    console.plugged = True
    with connect(console) as second:
        line = second._carrier
        assert isinstance(line, link_console.ConsoleCarrier)
        gone = frame(bytes((*line._tag, END, 0, 0)))
        second._loop.call_soon_threadsafe(line._feed, bytes(gone))
        with pytest.raises(link.LinkLost, match="ended the link"):
            second.ping()


@pytest.mark.parametrize("seed", range(10 if DEEP else 1))
def test_noise_costs_time_and_nothing_else(seed: int) -> None:
    console = Console(noise=0.001, seed=seed)
    try:
        with connect(console, 20_000) as connection, service(connection) as opened:
            for _ in opened.call_many((("write", [bytes(1000)]) for _ in range(2)), 60_000):
                pass
            assert opened.call("state", timeout_ms=60_000)["sink"] == 2000
            data = bytes(range(256)) * 3
            assert opened.call("echo", [data], timeout_ms=60_000) == data
    finally:
        console.stop()


class Mute:
    """A console where nothing speaks the protocol: a bare REPL that echoes."""

    def __init__(self, answer: bytes = b"") -> None:
        self.written = bytearray()
        self.answer = answer
        self.closed = False

    def read(self) -> bytes:
        time.sleep(0.01)
        return self.answer

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True


def test_where_nobody_answers_it_says_so_in_time() -> None:
    mute = Mute()
    with pytest.raises(link.LinkLost, match="ttyX did not answer within 700 ms"):
        link.connect_console(mute, "ttyX", timeout_ms=700)
    assert mute.closed


def test_what_a_bare_repl_gets_is_harmless() -> None:
    mute = Mute(b">>> ")
    with pytest.raises(link.LinkLost):
        link.connect_console(mute, "ttyX", timeout_ms=400)
    assert mute.written
    assert all(byte == 0 or 32 <= byte < 127 for byte in mute.written)


@pytest.mark.parametrize("kind", [OSError, TypeError])
def test_unplugged_while_connecting(kind: type[Exception]) -> None:
    class Gone(Mute):
        def read(self) -> bytes:
            raise kind("device disconnected")

    with pytest.raises(link.LinkLost, match="disconnected"):
        link.connect_console(Gone(), "ttyX")


def test_no_thread_is_left() -> None:
    before = set(threading.enumerate())
    with pytest.raises(KodkodError):
        link.connect_console(Mute(), "ttyX", timeout_ms=300)
    assert not set(threading.enumerate()) - before
    assert link_console.WINDOW == 128
