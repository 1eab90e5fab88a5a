"""What the tests of the console share: apps that talk, mpremote as a process, a person typing."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import serial
from kod import Device
from serial.rfc2217 import PortManager
from simulated_device import SimulatedDevice, until

MPREMOTE = [sys.executable, "-m", "mpremote"]
DEEP = os.environ.get("KODKOD_DEEP") == "1"
HUB = """
from kodkod.services import ServiceProvider, ServiceSelector

class Hub(ServiceProvider):
    def __init__(self):
        super().__init__("test/hub", 1, 0)
        self.provides(ServiceSelector("5ac1a3f0-7d3c-4f5e-8a54-000000000001", 1, 0), self)
        self.posts = {}

    def handle(self, index, arguments, gid, client):
        if index == "post":
            name, count = arguments
            self.posts[name] = count
        return self.posts

async def main():
    Hub().install()
"""
TALKER = """
import asyncio
import kodkod
from kodkod.services import ServiceClient, ServiceSelector

async def main():
    name = kodkod.defines["name"]
    hub = ServiceClient(ServiceSelector("5ac1a3f0-7d3c-4f5e-8a54-000000000001", 1, 0))
    await hub.open(timeout_ms=5000)
    count = 0
    while True:
        count += 1
        heard = await hub.invoke("post", [name, count])
        if count % 20 == 0 and kodkod.defines.get("chatty"):
            print("count", count)
        await asyncio.sleep_ms(20)
"""


class Talk:
    """Three apps of a device that send to each other, seen from the network."""

    def __init__(self, desk: SimulatedDevice, place: Path, chatty: bool) -> None:
        self.desk = desk
        self.port = desk.run_json["console"]
        (place / "hub.py").write_text(HUB)
        (place / "talker.py").write_text(TALKER)
        desk.kod("install", "hub", place / "hub.py")
        for name in ("ann", "bob"):
            options = ["-D", f"name={name}", *(["-D", "chatty"] if chatty else [])]
            desk.kod("install", name, place / "talker.py", *options)
        self.link: Device = desk.connect()
        until(lambda: len(self.posts()) == 2)

    def posts(self) -> dict[str, int]:
        """How many messages each has sent."""
        return dict(self.link.call("test/hub", "look"))

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """The apps send on during and after what is done here, and none was restarted."""
        before = self.posts()
        yield
        until(
            lambda: all(self.posts()[name] > before[name] for name in before),
            what="the apps do not talk any more",
        )
        records = {one["name"]: one for one in self.link.list()}
        for name in ("hub", "ann", "bob"):
            assert (records[name]["state"], records[name]["restarts"]) == ("running", 0)

    @property
    def command(self) -> list[str]:
        return [*MPREMOTE, "connect", self.port]

    def mpremote(self, *arguments: str | Path, code: int = 0, seconds: float = 30) -> str:
        """What stock mpremote says on the device's console."""
        done = subprocess.run(
            [*self.command, *map(str, arguments)],
            capture_output=True,
            timeout=seconds,
        )
        out = done.stdout.decode().replace("\r\n", "\n")
        assert done.returncode == code, (arguments, out, done.stderr.decode())
        return out + done.stderr.decode()

    def start_mpremote(self, *arguments: str | Path) -> subprocess.Popen[bytes]:
        """One that is to be killed."""
        return subprocess.Popen(
            [*self.command, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    @contextmanager
    def frozen(self) -> Iterator[Callable[[], int]]:
        """The device does nothing meanwhile; yields how many bytes wait in its receive ring."""
        pid = self.desk.run_json["device_pid"]
        ring = os.open(f"/proc/{pid}/fd/0", os.O_RDONLY)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield lambda: struct.unpack("i", fcntl.ioctl(ring, termios.FIONREAD, bytes(4)))[0]
        finally:
            os.kill(pid, signal.SIGCONT)
            os.close(ring)


@contextmanager
def talking(place: Path, *options: str, chatty: bool = False) -> Iterator[Talk]:
    """A simulated device with its apps; a console without a speed limit unless one is given."""
    desk = SimulatedDevice(place, "desk", ("--baud", "0", *options))
    before = os.environ.get("KOD_HOME")
    os.environ["KOD_HOME"] = str(desk.home)
    try:
        desk.start()
        talk = Talk(desk, place, chatty)
        yield talk
        talk.link.close()
    finally:
        desk.stop()
        if before is None:
            del os.environ["KOD_HOME"]
        else:
            os.environ["KOD_HOME"] = before


class Line:
    """A pty between a host and the console of the device: it records, adds noise, is cut."""

    def __init__(self, console: str | int) -> None:
        if isinstance(console, str):
            console = os.open(console, os.O_RDWR | os.O_NOCTTY)
            tty.setraw(console, termios.TCSANOW)
        self._device = console
        self._master, slave = os.openpty()
        tty.setraw(slave)
        self.port = os.ttyname(slave)
        os.close(slave)
        self.heard = bytearray()  # what the device said
        self._rate = 0.0
        self._dice = random.Random(0)
        self._left = -1  # zero bytes until it is cut
        self._closing = False
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *exc: object) -> None:
        self._closing = True
        self._thread.join()

    def noise(self, rate: float, seed: int) -> None:
        """From now on so many of the bytes, both ways, are flipped, lost, doubled, inserted."""
        self._dice = random.Random(seed)
        self._rate = rate

    def quiet(self) -> None:
        """No noise any more."""
        self._rate = 0.0

    def cut_after(self, frames: int) -> None:
        """It is unplugged once so many frames, of both ends together, have passed."""
        self._left = 2 * frames

    def _carry(self) -> None:
        while not self._closing:
            for handle in select.select([self._device, self._master], [], [], 0.05)[0]:
                try:
                    data = os.read(handle, 256)
                except OSError:  # nobody has opened it yet, or nobody any more
                    time.sleep(0.02)
                    continue
                if handle == self._device:
                    self.heard += data
                out = self._worn(data)
                os.write(self._master if handle == self._device else self._device, out)
            if self._left == 0:
                break
        for handle in (self._device, self._master):
            os.close(handle)

    def _worn(self, data: bytes) -> bytes:
        out = bytearray()
        for byte in data:
            if self._left == 0:
                break
            self._left -= byte == 0 and self._left > 0
            kind = self._dice.randrange(4) if self._dice.random() < self._rate else -1
            if kind == 0:
                byte ^= 1 << self._dice.randrange(8)
            if kind != 1:
                out.append(byte)
            if kind == 2:
                out.append(byte)
            if kind == 3:
                out.append(self._dice.randrange(256))
        return bytes(out)


class Person:
    """Somebody at a terminal on the console."""

    def __init__(self, port: str) -> None:
        self._fd = os.open(port, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._fd, termios.TCSANOW)
        self.seen = ""

    @classmethod
    def at(cls, terminal: int) -> Person:
        """One whose terminal is the other end of this pty."""
        person = cls.__new__(cls)
        person._fd = terminal
        person.seen = ""
        return person

    def __enter__(self) -> Person:
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self._fd)

    def asks(self, data: bytes, answer: str = "") -> None:
        """Sends bytes and waits for what answers them."""
        os.write(self._fd, data)
        self.sees(answer)

    def sends(self, data: bytes) -> None:
        """Sends bytes and does not look at the answer."""
        os.write(self._fd, data)
        time.sleep(0.05)

    def types(self, text: str, expect: str = r">>> $", seconds: float = 10) -> str:
        """Types, a key at a time, and returns what the device shows up to what is expected."""
        for byte in text.encode():
            os.write(self._fd, bytes((byte,)))
        return self.sees(expect, seconds)

    def sees(self, expect: str, seconds: float = 10) -> str:
        """What is shown, once that matches."""
        self.seen = ""
        deadline = time.monotonic() + seconds
        while not re.search(expect, self.seen):
            assert time.monotonic() < deadline, (expect, self.seen)
            if select.select([self._fd], [], [], 0.05)[0]:
                self.seen += os.read(self._fd, 4096).decode(errors="replace")
        return self.seen


class Rfc2217:
    """The console at `url`, an rfc2217:// server as people put before a board, until closed."""

    def __init__(self, port: str) -> None:
        self._console = serial.Serial(port, timeout=0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"rfc2217://127.0.0.1:{self._listener.getsockname()[1]}"
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> Rfc2217:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._ends.set()
        self._thread.join(5)
        self._listener.close()
        self._console.close()

    def _serve(self) -> None:
        while not self._ends.is_set():
            if select.select([self._listener], [], [], 0.05)[0]:
                connection, _ = self._listener.accept()
                with connection, contextlib.suppress(OSError):
                    self._connected(connection)

    def _connected(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        manager = PortManager(_NoLines(self._console), SimpleNamespace(write=connection.sendall))
        while not self._ends.is_set():
            ready = select.select([connection, self._console.fileno()], [], [], 0.05)[0]
            if connection in ready:
                data = connection.recv(4096)
                if not data:
                    return
                self._console.write(b"".join(manager.filter(data)))
            if self._console.fileno() in ready:
                connection.sendall(b"".join(manager.escape(self._console.read(4096))))


class _NoLines:
    """A pty as a serial port: it has no modem lines to ask for."""

    cts = dsr = ri = cd = False

    def __init__(self, console: serial.Serial) -> None:
        self._console = console

    def __getattr__(self, name: str) -> object:
        return getattr(self._console, name)
