"""Whatever arrives: parsers refuse it or take it, nothing hangs, grows or dies of it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kod import link
from kod.link_tcp import Knock
from kodkod.errors import AuthFailed, Busy, Incompatible, KodkodError, ServiceNotFound
from kodkod.link import session as device_session
from kodkod.link.cipher import FRAME, Handshake, answer, frame_size
from kodkod.link.frames import Splitter, frame, payload
from kodkod.message import pack, unpack
from link_lab import DEEP, KEY

COUNT = 20_000 if DEEP else 250
MANY = settings(max_examples=COUNT, deadline=None, suppress_health_check=list(HealthCheck))
tried: dict[str, int] = {}


@pytest.fixture(scope="module", autouse=True)
def say_how_many() -> Iterator[None]:
    yield
    for what in sorted(tried):
        print(f"fuzzed {what}: {tried[what]} inputs")


def count(what: str) -> None:
    tried[what] = tried.get(what, 0) + 1


# Handshake and encrypted frames


@MANY
@given(st.one_of(st.binary(min_size=32, max_size=32), st.binary(min_size=26, max_size=26)))
def test_device_takes_any_hello(data: bytes) -> None:
    count("hello")
    hello = data if len(data) == 32 else b"kodkod" + data
    reply, handshake = answer(KEY, hello)
    assert len(reply) in (0, 64)
    if handshake is None:
        assert reply == b"" or reply[6:7] == b"\0"
    else:
        assert hello[:6] == b"kodkod"
        assert hello[7] <= 1 <= hello[6]


@MANY
@given(st.binary(min_size=64, max_size=64), st.booleans())
def test_host_takes_any_answer(data: bytes, head: bool) -> None:
    count("answer")
    with pytest.raises((AuthFailed, Incompatible, Busy)):
        Knock(KEY).check(b"kodkod" + data[6:] if head else data)


@MANY
@given(st.binary(min_size=2, max_size=2100), st.booleans())
def test_no_forged_frame_is_opened(data: bytes, shaped: bool) -> None:
    count("frame")
    cipher = Handshake(KEY, b"").cipher(b"H", b"D")
    try:
        size = frame_size(data)
    except AuthFailed:
        size = len(data)
    assert size <= max(FRAME, len(data))
    forged = bytearray(data.ljust(size, b"\0")[:size]) if shaped else bytearray(data)
    with pytest.raises(AuthFailed):
        cipher.open(memoryview(forged))


@MANY
@given(
    st.lists(st.binary(max_size=200), min_size=1, max_size=6), st.integers(0), st.integers(0, 7)
)
def test_one_changed_bit_is_refused(payloads: list[bytes], place: int, bit: int) -> None:
    count("changed bit")
    sender = Handshake(KEY, b"t").cipher(b"D", b"H")
    receiver = Handshake(KEY, b"t").cipher(b"H", b"D")
    sealed = [bytearray(sender.seal(content)) for content in payloads]
    place %= sum(map(len, sealed))
    refused = False
    for number, one in enumerate(sealed):
        if 0 <= place < len(one):
            one[place] ^= 1 << bit
            with pytest.raises(AuthFailed):
                receiver.open(memoryview(one))
            refused = True
            break
        place -= len(one)
        assert bytes(receiver.open(memoryview(one))) == payloads[number]
    assert refused


# The console's frames


@MANY
@given(st.binary(max_size=1200))
def test_any_payload_comes_back(data: bytes) -> None:
    count("console payload")
    wire = frame(data)
    assert wire[0] == wire[-1] == 0
    assert 0 not in wire[1:-1]
    assert payload(wire[1:-1]) == data


@MANY
@given(st.lists(st.one_of(st.binary(max_size=300), st.binary(max_size=60).map(frame))), st.data())
def test_any_bytes_are_frames_or_text(parts: list[bytes], data: st.DataObject) -> None:
    count("console bytes")
    words = b"".join(bytes(part) for part in parts)
    text: list[bytes] = []
    splitter = Splitter(128, lambda part: text.append(bytes(part)))
    found: list[bytes] = []
    while words:
        step = data.draw(st.integers(1, len(words)))
        found += splitter.feed(words[:step])
        words = words[step:]
    splitter.flush()
    assert sum(map(len, found)) + sum(map(len, text)) <= sum(map(len, parts))
    assert splitter.feed(b"\0" + frame(b"and on it goes")) == [b"and on it goes"]


# The device's session, here under CPython


class FakeClient:
    name = "fake"
    major = minor = patch = id = 0

    def __init__(self, session: Any, number: int, lab: Lab, queue: Any, stays: bool) -> None:
        self.session = session
        self.number = number
        self.lab = lab
        self.queue = queue
        self.stays = stays
        self.closed = False

    def notify(self, handle: int, value: Any) -> None:
        kept = self.session.notified(self.number, handle, value, self.queue, self.stays)
        self.lab.kept += bool(kept)
        self.lab.lost += not kept

    async def invoke(self, index: Any, arguments: Any, timeout_ms: Any) -> Any:
        if index == 1:
            await asyncio.sleep(60)
        elif index == 2:
            for value in range(100):
                self.notify(value % 3, [value, b"n" * 60])
        elif index == 3:
            self.session.closed(self.number, 3, "resource")
        elif index == 4:
            raise KodkodError("asked for")
        elif index == 5:
            return "x" * 5000
        elif index == 6:
            return object()
        elif index == 7:
            self.notify(5, b"n" * 5000)
            await asyncio.sleep(0)
        return arguments

    def close(self) -> None:
        assert not self.closed
        self.closed = True
        self.lab.open -= 1

    def _close_handle(self, handle: Any) -> None:
        if not isinstance(handle, int):
            raise TypeError("handle")


class Lab:
    """A carrier that brings what it is given, and keeps what is sent."""

    def __init__(self, words: list[bytes]) -> None:
        self.words = words
        self.sent: list[bytes] = []
        self.open = self.opened = self.kept = self.lost = 0
        self.closed = False

    async def receive(self) -> bytes:
        await asyncio.sleep(0)
        if not self.words:
            for _ in range(12):
                await asyncio.sleep(0)
            raise EOFError
        return self.words.pop(0)

    async def send(self, data: bytes) -> None:
        await asyncio.sleep(0)
        self.sent.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    async def client(
        self, session: Any, number: Any, selector: Any, timeout_ms: Any, queue: Any, overflow: Any
    ) -> Any:
        if selector == ["absent"]:
            raise ServiceNotFound("absent")
        await asyncio.sleep(0)
        self.open += 1
        self.opened += 1
        return FakeClient(session, number, self, int(queue or 64), overflow == "drop_newest")


class Signal:
    """kodkod.signal's, on this computer's asyncio."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def set(self) -> None:
        self.event.set()

    async def wait(self) -> None:
        self.event.clear()
        await self.event.wait()


def run_session(words: list[bytes]) -> tuple[Lab, Any]:
    async def main() -> tuple[Lab, Any]:
        lab = Lab(list(words))
        session = device_session.Session(lab, {"name": "x"}, lab.client, Signal())
        await asyncio.wait_for(session.run(), 20)
        for _ in range(4):
            await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1
        return lab, session

    return asyncio.run(main())


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 70) | st.binary(max_size=8) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=8,
)
number = st.integers(1, 12)
sensible = st.one_of(
    st.tuples(st.just(1), number, st.sampled_from([["svc"], ["absent"]]), st.just(0)),
    st.tuples(
        st.just(1),
        number,
        st.just(["svc"]),
        st.just(0),
        st.integers(1, 70),
        st.just("drop_newest"),
    ),
    st.tuples(
        st.just(2), number, number, st.integers(0, 8), anything, st.sampled_from([None, 10, 1000])
    ),
    st.tuples(st.just(3), number, number, st.none() | st.integers(0, 6)),
    st.tuples(st.just(4), number),
    st.tuples(st.just(5), number),
    st.tuples(st.just(6), st.integers(0, 20)),
).map(lambda content: pack(list(content)))
nonsense = st.one_of(
    st.binary(max_size=40),
    st.lists(anything, max_size=7).map(pack),
    anything.map(pack),
    st.just(pack([7])),
)


def check_answers(words: list[bytes], lab: Lab) -> None:
    """Each request has one answer at most, and none that was not asked for."""
    asked: dict[Any, int] = {}
    for word in words:
        with contextlib.suppress(KodkodError, TypeError, IndexError, KeyError):
            content = unpack(word)
            if content[0] in (1, 2, 3, 4):
                asked[content[1]] = asked.get(content[1], 0) + 1
    for data in lab.sent:
        assert len(data) <= 2048
        content = unpack(data)
        if content[0] in (9, 10):
            asked[content[1]] -= 1
            assert asked[content[1]] >= 0
        else:
            assert content[0] in (8, 11, 12)


asked_for = st.one_of(
    st.tuples(st.just(2), st.integers(1, 3), st.integers(0, 8), anything, st.just(1000)),
    st.tuples(st.just(2), st.just(1), st.sampled_from([2, 3, 7]), st.none(), st.none()),
    st.tuples(st.just(3), st.integers(1, 3), st.none() | st.integers(0, 6)),
    st.tuples(st.just(6), st.integers(0, 20)),
    st.tuples(st.just(5), st.integers(1, 30)),
)


def numbered(contents: list[tuple[Any, ...]]) -> list[bytes]:
    """Two services are opened, then each request gets a number of its own."""
    words = [pack([1, 1, ["svc"], 0]), pack([1, 2, ["svc"], 0, 5, "drop_newest"])]
    for number, content in enumerate(contents, 3):
        rest = content[1:] if content[0] in (5, 6) else (number, *content[1:])
        words.append(pack([content[0], *rest]))
    return words


@MANY
@given(st.lists(sensible, max_size=25) | st.lists(asked_for, max_size=25).map(numbered))
def test_session_serves_what_is_sensible(words: list[bytes]) -> None:
    count("sensible session")
    lab, session = run_session(words)
    check_answers(words, lab)
    assert lab.closed
    assert lab.open == 0
    assert session._held == 0 or session._tasks
    assert session._event_bytes == sum(len(event[2]) for event in session._events) <= 4096 + 900
    assert len(session._events) <= 128


def test_such_sessions_get_somewhere() -> None:
    """Services are opened, notifications made, and some of them find no room."""
    flood = (2, 2, 2, None, None)
    large = (2, 1, 7, None, None)
    lab, _ = run_session(numbered([flood, large, (6, 20), flood]))
    assert (lab.opened, lab.open) == (2, 0)
    assert lab.kept >= 15
    assert lab.lost >= 150
    notes = [unpack(data) for data in lab.sent if unpack(data)[0] == 11]
    assert [note[1:3] for note in notes[:3]] == [[2, 0], [2, 1], [2, 2]]


@MANY
@given(st.lists(sensible | nonsense, max_size=12), nonsense)
def test_session_survives_nonsense(words: list[bytes], last: bytes) -> None:
    count("nonsense session")
    words = [*words, last]
    lab, _ = run_session(words)
    assert unpack(lab.sent[0])[0] == 8 if lab.sent else True
    assert lab.closed
    assert lab.open == 0


# The host, with a device that has the key and talks nonsense


class Nonsense:
    def __init__(self, words: list[bytes]) -> None:
        self.words = [pack([8, {}]), *words]
        self.sent: list[bytes] = []

    async def receive(self) -> bytes:
        await asyncio.sleep(0)
        if not self.words:
            raise EOFError
        return self.words.pop(0)

    def send(self, data: bytes) -> None:
        self.sent.append(data)

    async def close(self) -> None:
        pass


answers = st.one_of(
    st.tuples(st.just(9), number, anything),
    st.tuples(st.just(10), number, st.integers(0, 30), st.text(max_size=3)),
    st.tuples(st.just(11), number, number, st.integers(0, 5), anything),
    st.tuples(st.just(12), number, st.none() | number, st.integers(0, 5), st.just("resource")),
    st.lists(anything, max_size=6),
).map(lambda content: pack(list(content)))


@settings(MANY, max_examples=COUNT // 2)
@given(st.lists(answers | st.binary(max_size=20), max_size=10))
def test_host_survives_nonsense(words: list[bytes]) -> None:
    count("nonsense to the host")
    before = set(threading.enumerate())

    async def dial() -> Nonsense:
        return Nonsense(words)

    with link.Connection(dial, "nonsense") as connection:
        with contextlib.suppress(KodkodError):
            connection.open("svc", timeout_ms=5000).call("none")
        assert isinstance(connection.lost or link.LinkLost(), link.LinkLost)
    assert not set(threading.enumerate()) - before
