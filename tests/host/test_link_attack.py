"""Who has no key, and who sits in the middle: refused or ended, and the next host is served."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator

import pytest
from kod import link
from kod.link_tcp import Knock
from kod.remote_service import RemoteService
from kodkod.errors import AuthFailed, Incompatible, KodkodError
from kodkod.link.cipher import Handshake
from kodkod.message import pack
from link_lab import DEEP, KEY, Device, service, until
from middle import Middle


@pytest.fixture(scope="module")
def device() -> Iterator[Device]:
    device = Device(heap="512k")
    yield device
    device.stop()


@pytest.fixture(autouse=True)
def serves_the_next_honest_host(device: Device) -> Iterator[None]:
    yield
    assert works(device)


def works(device: Device) -> bool:
    with device.connect() as connection, service(connection) as opened:
        return bool(opened.call("echo", ["honest"]) == "honest")


def read(line: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count and (piece := line.recv(count - len(data))):
        data += piece
    return data


def ends(line: socket.socket) -> bool:
    """The device ends this connection, and says no more."""
    try:
        return line.recv(1) == b""
    except ConnectionError:
        return True


def shake(line: socket.socket, key: bytes = KEY) -> tuple[bytes, object]:
    knock = Knock(key)
    line.sendall(knock.hello)
    return knock.check(read(line, 64))


# Without the key


def test_no_key_learns_that_it_is_kodkod_and_no_more(device: Device) -> None:
    with device.raw() as line:
        line.sendall(Knock(bytes(16)).hello)
        answer = read(line, 64)
        assert answer[:8] == b"kodkod\x01\0"
        line.sendall(os.urandom(32))
        assert ends(line)


@pytest.mark.parametrize(
    "words",
    [b"", b"\0" * 32, b"GET / HTTP/1.1\r\nHost: desk\r\nAccept: */*\r\n\r\n", b"\xff" * 5000],
)
def test_other_protocols_get_no_answer(device: Device, words: bytes) -> None:
    with device.raw() as line:
        with contextlib.suppress(OSError):  # it may hang up before the last word
            line.sendall(words)
            line.shutdown(socket.SHUT_WR)
        assert ends(line)


def test_call_without_handshake_gets_no_answer(device: Device) -> None:
    with device.raw() as line:
        line.sendall(pack([1, 1, ["test/link"], 0]) + bytes(64))
        assert ends(line)


def test_call_in_the_clear_after_the_hellos_is_refused(device: Device) -> None:
    with device.raw() as line:
        line.sendall(Knock(KEY).hello)
        read(line, 64)
        line.sendall(pack([2, 1, 1, "none", None, 1000]) + bytes(64))
        assert ends(line)


def test_wrong_key_is_seen_on_the_host(device: Device) -> None:
    with pytest.raises(AuthFailed):
        device.connect(key=os.urandom(16))


def test_wrong_keys_are_slowed_down(device: Device) -> None:
    began = time.monotonic()
    for _ in range(4):
        with device.raw() as line:
            line.sendall(Knock(bytes(16)).hello)
            read(line, 64)
            line.sendall(os.urandom(32))
            assert ends(line)
    assert time.monotonic() - began >= 0.1 + 0.2 + 0.4 - 0.1
    works(device)  # which also forgives


def test_proof_of_the_device_is_no_proof_of_a_host(device: Device) -> None:
    with device.raw() as line:
        line.sendall(Knock(bytes(16)).hello)
        line.sendall(read(line, 64)[32:])
        assert ends(line)


def test_device_that_has_no_key_is_refused_by_the_host(device: Device) -> None:
    """It answers with a hello that is not its own, or a proof that another host was given."""
    seen: list[bytes] = []

    def forge(way: str, data: bytes) -> bytes:
        if way == "down" and not seen:
            seen.append(data)
            return data[:40] + bytes(24)
        return data

    with Middle(device.port, forge) as middle, pytest.raises(AuthFailed):
        device.connect(port=middle.port)
    with (
        Middle(device.port, lambda way, data: seen[0] if way == "down" else data) as middle,
        pytest.raises(AuthFailed),
    ):
        device.connect(port=middle.port)


def test_what_is_no_device_is_told_from_a_wrong_key() -> None:
    with socket.create_server(("127.0.0.1", 0)) as web:
        port = web.getsockname()[1]
        middle = Middle(port)
        try:
            import threading

            def serve() -> None:
                line, _ = web.accept()
                with line:
                    line.sendall(b"HTTP/1.1 400 Bad Request\r\nServer: something\r\n\r\n" * 3)
                    line.recv(1000)

            thread = threading.Thread(target=serve)
            thread.start()
            with pytest.raises(Incompatible, match="not a Kodkod device"):
                link.connect_tcp("127.0.0.1", middle.port, KEY)
            thread.join()
        finally:
            middle.close()


def test_other_version_is_told(device: Device) -> None:
    def newer(way: str, data: bytes) -> bytes:
        return data[:6] + b"\x09\x09" + data[8:] if way == "up" and data[:6] == b"kodkod" else data

    with (
        Middle(device.port, newer) as middle,
        pytest.raises(Incompatible, match="device speaks protocol 1"),
    ):
        device.connect(port=middle.port)


def test_version_cannot_be_changed_on_the_way(device: Device) -> None:
    """The hellos are part of what is proved."""

    def lower(way: str, data: bytes) -> bytes:
        return data[:7] + b"\0" + data[8:] if way == "up" and data[:6] == b"kodkod" else data

    with Middle(device.port, lower) as middle, pytest.raises(AuthFailed):
        device.connect(port=middle.port)


# In the middle


@pytest.fixture
def lively(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host says something often, so that what waits for more bytes gets them."""
    monkeypatch.setattr(link, "PING_S", 0.0)


def call_on(opened: RemoteService) -> None:
    for _ in range(20):
        opened.call("none")


def recorded(device: Device) -> dict[str, bytes]:
    with Middle(device.port) as middle:
        with device.connect(port=middle.port) as connection, service(connection) as opened:
            opened.call("write", [b"x" * 100])
        return {way: bytes(data) for way, data in middle.recorded.items()}


def test_replayed_connection_is_refused(device: Device) -> None:
    with device.connect() as watching, service(watching) as watcher:
        words = recorded(device)["up"]
        before = watcher.call("state")
        with device.raw() as line:
            line.sendall(words)
            answer = b""
            while piece := _received(line):
                answer += piece
        assert len(answer) == 64
        after = watcher.call("state")
        assert (after["sink"], after["opened"]) == (before["sink"], before["opened"])


def _received(line: socket.socket) -> bytes:
    try:
        return line.recv(4096)
    except ConnectionError:
        return b""


def frames(words: bytes, start: int = 64) -> list[bytes]:
    found = []
    while start < len(words):
        size = int.from_bytes(words[start : start + 2], "big") + 18
        found.append(words[start : start + size])
        start += size
    return found


class Meddler:
    """Lets the handshake and `after` frames of one direction pass, then calls `change`."""

    def __init__(self, way: str, after: int, change: Callable[[bytes], bytes]) -> None:
        self.way = way
        self.after = after
        self.change = change
        self.passed = 0
        self.hit = False

    def __call__(self, way: str, data: bytes) -> bytes:
        if way != self.way:
            return data
        start = self.passed
        self.passed += len(data)
        if start < 64:  # the two parts of the handshake come one by one
            return data
        out = b""
        for frame in frames(data, 0):
            if self.after == 0:
                self.hit = True
                out += self.change(frame)
            else:
                out += frame
            self.after -= 1
        return out


def flip(place: int) -> Callable[[bytes], bytes]:
    def change(frame: bytes) -> bytes:
        at = place % len(frame)
        return frame[:at] + bytes([frame[at] ^ 0x10]) + frame[at + 1 :]

    return change


@pytest.mark.usefixtures("lively")
@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("length", flip(1)),
        ("first block", flip(5)),
        ("content", flip(20)),
        ("MAC", flip(-1)),
        ("twice", lambda frame: frame + frame),
        ("cut and filled", lambda frame: frame[:-16] + bytes(16)),
        ("injected before", lambda frame: b"\0\x10" + bytes(32) + frame),
        ("oversized", lambda frame: b"\xff\xf0" + bytes(65520) + frame),
    ],
)
def test_meddling_ends_the_link(
    device: Device, way: str, name: str, change: Callable[[bytes], bytes]
) -> None:
    with device.connect() as watching, service(watching) as watcher:
        before = watcher.call("state")
        meddler = Meddler(way, 4, change)
        with (
            Middle(device.port, meddler) as middle,
            device.connect(port=middle.port) as connection,
        ):
            opened = service(connection)
            with pytest.raises(link.LinkLost):
                call_on(opened)
            assert meddler.hit
        until(lambda: watcher.call("state")["clients"] == before["clients"])


def test_reordered_frames_end_the_link(device: Device) -> None:
    kept: list[bytes] = []

    def swap(frame: bytes) -> bytes:
        kept.append(frame)
        return b""

    class Swapper(Meddler):
        def __call__(self, way: str, data: bytes) -> bytes:
            if kept and way == self.way:
                return data + kept.pop()
            return super().__call__(way, data)

    with (
        Middle(device.port, Swapper("up", 2, swap)) as middle,
        device.connect(port=middle.port) as connection,
    ):
        opened = service(connection)
        with pytest.raises(link.LinkLost):
            list(opened.call_many(("write", [b"z"]) for _ in range(8)))


def test_reflected_frame_ends_the_link(device: Device) -> None:
    """The host gets its own frames back in place of the device's."""
    sent: list[bytes] = []

    class Mirror(Meddler):
        def __call__(self, way: str, data: bytes) -> bytes:
            if way == "up" and self.passed > 150:
                sent.append(data)
            return super().__call__(way, data)

    mirror = Mirror("down", 3, lambda frame: sent[-1])
    with (
        Middle(device.port, mirror) as middle,
        device.connect(port=middle.port) as connection,
    ):
        opened = service(connection)
        with pytest.raises(link.LinkLost):
            call_on(opened)


def test_frame_of_another_connection_ends_the_link(device: Device) -> None:
    words = recorded(device)["up"]
    foreign = frames(words)[-2]
    with (
        Middle(device.port, Meddler("up", 3, lambda frame: foreign)) as middle,
        device.connect(port=middle.port) as connection,
    ):
        opened = service(connection)
        with pytest.raises(link.LinkLost):
            call_on(opened)


def test_nothing_readable_goes_over_the_wire(device: Device) -> None:
    secrets = [b"wifi-password-8261", b"the text of an app", KEY, KEY.hex().encode()]
    with (
        Middle(device.port) as middle,
        device.connect(port=middle.port) as connection,
    ):
        opened = service(connection)
        for _ in range(20):
            for secret in secrets:
                assert opened.call("echo", [secret * 3]) == secret * 3
        handle = opened.call("open")
        opened.call("notify", [handle, 0, 1])
        opened.close()
        for way, words in middle.recorded.items():
            assert len(words) > 5000
            for text in [*secrets, b"test/link", b"echo", b"desk", b"0011223344556677"]:
                assert bytes(words).find(text) < 0, way
            # Encrypted is as dense as noise: each byte comes about as often as any other.
            counts = [bytes(words).count(bytes([n])) for n in range(256)]
            assert max(counts) < 4 * len(words) / 256 + 200


# Those who only take places


def test_hundreds_of_half_open_connections(device: Device) -> None:
    with device.connect() as watching, service(watching) as watcher:
        before = watcher.call("state")
        count = 300
        lines = []
        for i in range(count):
            line = socket.socket()
            line.setblocking(False)
            line.connect_ex(("127.0.0.1", device.port))
            lines.append(line)
            if i % 50 == 0:
                assert watcher.call("echo", [i]) == i
        try:
            assert works(device)
            after = watcher.call("state")
            assert after["used"] < before["used"] + 16 * 1024
            assert after["ticks"] > before["ticks"]
        finally:
            for line in lines:
                line.close()


def test_half_said_hello_makes_room_for_the_next(device: Device) -> None:
    lines = [device.raw() for _ in range(6)]
    for line in lines:
        line.sendall(b"kodkod")
    assert works(device)
    for line in lines:
        line.close()


def test_silent_stranger_is_sent_away(device: Device) -> None:
    with device.raw() as line:
        line.sendall(b"kodkod\x01")
        assert ends(line)  # within the 10 s of this socket


def test_flood_of_wrong_proofs_leaves_room(device: Device) -> None:
    lines = []
    for _ in range(3):
        line = device.raw()
        line.sendall(Knock(bytes(16)).hello + bytes(32))
        lines.append(line)
    assert works(device)
    for line in lines:
        line.close()


def test_slow_writer_with_the_key_is_ended_and_hurts_nobody(device: Device) -> None:
    """A byte now and then of a frame that never ends."""
    with device.raw() as line, device.connect() as good, service(good) as opened:
        proof, _ = shake(line)
        line.sendall(proof)
        read(line, 2)
        line.sendall(b"\x08\0")
        ended = False
        for i in range(300 if DEEP else 6):
            try:
                line.sendall(b"s")
            except OSError:
                ended = True
                break
            assert opened.call("echo", [i]) == i
            time.sleep(0.1)
        assert ended or not DEEP


def test_host_with_the_key_that_talks_nonsense_is_ended(device: Device) -> None:
    bad = [
        b"",
        b"\xc1",
        pack(None),
        pack([]),
        pack([0, 1]),
        pack([13, 1]),
        pack([8, {}]),
        pack(["1", 2]),
        pack([1, 1]),
        pack([2, 1, [], []]),
        pack([6, "many"]),
        pack([1, 1, ["test/link"], 0]) + b"more",
        b"\xdd\xff\xff\xff\xff",
        pack({1: 2}),
        os.urandom(2048),
    ]
    for words in bad:
        with device.raw() as line:
            proof, cipher = shake(line)
            line.sendall(proof)
            size = int.from_bytes(read(line, 2), "big") + 16
            read(line, size)
            line.sendall(cipher.seal(words))  # type: ignore[attr-defined]
            line.settimeout(10)
            data = b""
            while piece := _received(line):
                data += piece
                if len(data) > 60:  # an answer: the message was one, and what it asks is refused
                    break


def test_more_calls_than_allowed_are_refused_not_kept(device: Device) -> None:
    with device.raw() as line:
        proof, cipher = shake(line)
        line.sendall(proof)

        def receive() -> list[object]:
            head = read(line, 2)
            rest = read(line, int.from_bytes(head, "big") + 16)
            from kodkod.message import unpack

            return list(unpack(cipher.open(memoryview(bytearray(head + rest)))))  # type: ignore[attr-defined]

        assert receive()[0] == 8
        line.sendall(cipher.seal(pack([1, 1, ["test/link"], 0])))  # type: ignore[attr-defined]
        assert receive()[:2] == [9, 1]
        for number in range(2, 42):
            call = pack([2, number, 1, "sleep", [60_000], None])
            line.sendall(cipher.seal(call))  # type: ignore[attr-defined]
        refused = [receive() for _ in range(24)]
        assert {answer[0] for answer in refused} == {10}
        assert [answer[1] for answer in refused] == list(range(18, 42))
        assert {answer[2] for answer in refused} == {11}  # Busy
        line.sendall(cipher.seal(pack([7])))  # type: ignore[attr-defined]
        assert ends(line)


def test_keys_of_two_connections_differ() -> None:
    one, other = Handshake(KEY, b"one"), Handshake(KEY, b"other")
    assert one.proof(b"H") != other.proof(b"H")


def test_connecting_has_a_time_limit() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as mute,
        pytest.raises(link.LinkLost, match="300 ms"),
    ):
        link.connect_tcp("127.0.0.1", mute.getsockname()[1], KEY, timeout_ms=300)


def test_errors_are_kodkods(device: Device) -> None:
    assert issubclass(link.LinkLost, KodkodError)
