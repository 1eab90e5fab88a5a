"""Several at the device's door at once: the one with the key comes in, whoever else knocks."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Iterator

import pytest
from kod import link
from kod.link_tcp import Knock
from link_lab import KEY, Device, service, until

ELSEWHERE = "127.0.0.2"

pytestmark = pytest.mark.skipif(
    sys.platform == "darwin", reason="a Mac has one address of its own unless it is given more"
)


@pytest.fixture(scope="module")
def device() -> Iterator[Device]:
    device = Device()
    yield device
    device.stop()


def stranger(device: Device, words: bytes) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", device.port), 10, source_address=(ELSEWHERE, 0))
    line.sendall(words)
    return line


def ended(line: socket.socket) -> bool:
    try:
        return not line.recv(64)
    except ConnectionError:
        return True


def test_who_floods_sends_himself_away_and_nobody_else(device: Device) -> None:
    knock = Knock(KEY)
    with contextlib.ExitStack() as stack:
        slow = stack.enter_context(device.raw())
        slow.sendall(knock.hello[:10])
        lines = [stack.enter_context(stranger(device, b"kodkod")) for _ in range(6)]
        assert all(ended(line) for line in lines[:-1])
        slow.sendall(knock.hello[10:])
        answer = b""
        while len(answer) < 64:
            answer += slow.recv(64) or pytest.fail("it was sent away")
        slow.sendall(knock.check(answer)[0])
        assert slow.recv(2)  # a frame: it is in


def test_the_owner_comes_in_during_a_flood_of_wrong_keys(device: Device) -> None:
    over = threading.Event()
    knocked = [0] * 4

    def flood(number: int) -> None:
        while not over.is_set():
            with contextlib.suppress(OSError):
                words = Knock(bytes(16)).hello + os.urandom(32)
                with stranger(device, words) as line:
                    while line.recv(64):
                        pass
            knocked[number] += 1

    threads = [threading.Thread(target=flood, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            before = sum(knocked)
            until(lambda: sum(knocked) > before + 8)  # noqa: B023
            with device.connect() as connection, service(connection) as opened:
                assert opened.call("echo", [1]) == 1
    finally:
        over.set()
        for thread in threads:
            thread.join()


class Porter:
    """A man in the middle who hangs up on the first few; `at` is when: after what."""

    def __init__(self, target: int, refuses: int, at: int) -> None:
        self.came = 0
        self._target = target
        self._refuses = refuses
        self._at = at
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self.came += 1
                with near, socket.create_connection(("127.0.0.1", self._target)) as far:
                    self._pass(near, far, self.came <= self._refuses)

    def _pass(self, near: socket.socket, far: socket.socket, refuse: bool) -> None:
        # A handshake is 32 bytes up, 64 down, 32 up.
        with contextlib.suppress(OSError):
            for number, (source, target, size) in enumerate(
                ((near, far, 32), (far, near, 64), (near, far, 32))
            ):
                if refuse and number == self._at:
                    return
                target.sendall(source.recv(size, socket.MSG_WAITALL))
            if refuse:
                return
            back = threading.Thread(target=_carry, args=(far, near))
            back.start()
            _carry(near, far)
            back.join()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


def _carry(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(4096):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("at", range(4))
def test_who_was_sent_away_during_the_handshake_tries_again(device: Device, at: int) -> None:
    porter = Porter(device.port, 2, at)
    try:
        with (
            link.connect_tcp("127.0.0.1", porter.port, KEY) as connection,
            service(connection) as opened,
        ):
            assert opened.call("echo", [at]) == at
        assert porter.came == 3
    finally:
        porter.close()


def test_who_is_sent_away_each_time_gives_up(device: Device) -> None:
    porter = Porter(device.port, 99, 1)
    try:
        with pytest.raises(link.LinkLost):
            link.connect_tcp("127.0.0.1", porter.port, KEY)
        assert porter.came == 1 + len(link._AGAIN_S)
    finally:
        porter.close()
