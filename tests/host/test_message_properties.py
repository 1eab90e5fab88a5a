"""Generated values and hostile buffers: CPython and the unix port agree, `msgpack` is the judge.

KODKOD_DEEP=1 tries about thirty times as many, from a random start.
"""

from __future__ import annotations

import math
import os
import random
import re
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from interpreter import ROOT, micropython

DEEP = os.environ.get("KODKOD_DEEP") == "1"
VALUES = 20000 if DEEP else 600
BUFFERS = 1000000 if DEEP else 20000
BATCH = 20
DEPTH = 16
LIMIT = 8192
pytestmark = pytest.mark.timeout(1800 if DEEP else 120)
SMALL = settings(
    max_examples=VALUES,
    deadline=None,
    database=None,
    derandomize=not DEEP,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


class Child:
    """One interpreter that answers a line for each line."""

    def __init__(self, *command: str) -> None:
        library = str(ROOT / "lib")
        self.process = subprocess.Popen(
            [*command, str(Path(__file__).parent / "values_child.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(os.environ, PYTHONPATH=library, MICROPYPATH=f"{library}:.frozen"),
            start_new_session=True,
        )

    def ask(self, lines: list[str]) -> list[str]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("".join(line + "\n" for line in lines).encode())
        self.process.stdin.flush()
        watchdog = threading.Timer(20, self.process.kill)
        watchdog.start()
        answers: list[str] = []
        try:
            for line in lines:
                answer = self.process.stdout.readline().decode()
                if not answer.endswith("\n"):
                    pytest.fail(f"died, or was killed after 20 s, on {line[:2000]}")
                answers.append(answer.strip())
        finally:
            watchdog.cancel()
        return answers

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


class Pair:
    """Both interpreters, and how many inputs they were asked."""

    def __init__(self) -> None:
        # The heap is small: whoever lets a length of a buffer decide what to allocate fails here.
        self.children = [Child(*micropython(), "-X", "heapsize=2m"), Child(sys.executable, "-u")]
        self.asked = 0

    def ask(self, lines: list[str]) -> list[tuple[str, str]]:
        self.asked += len(lines)
        here, there = (child.ask(lines) for child in self.children)
        return list(zip(here, there, strict=True))


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    for child in pair.children:
        child.close()


class Resource:
    def __init__(self, handle: int) -> None:
        self.handle = handle


class Refused(Exception):
    pass


def source(value: Any) -> str:
    """An expression that makes this value on both interpreters."""
    if isinstance(value, float):
        return f"F('{struct.pack('>d', value).hex()}')"
    if isinstance(value, (bytearray, memoryview)):
        return f"{type(value).__name__}({bytes(value)!r})"
    if isinstance(value, list):
        return f"[{','.join(map(source, value))}]"
    if isinstance(value, tuple):
        return f"({''.join(source(item) + ',' for item in value)})"
    if isinstance(value, dict):
        return f"{{{','.join(source(key) + ':' + source(item) for key, item in value.items())}}}"
    if isinstance(value, Resource):
        return f"R({value.handle})"
    if type(value) is object:
        return "object()"
    return ascii(value)


def plain(value: Any, depth: int = 0) -> Any:
    """What has to arrive, by the table of docs/values.md; written without a look at the code."""
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            raise Refused
        return value
    if isinstance(value, str):
        if any(0xD800 <= ord(letter) < 0xE000 for letter in value):
            raise Refused
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, Resource):
        return value.handle
    if isinstance(value, (list, tuple)):
        if depth == DEPTH:
            raise Refused
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, dict):
        if depth == DEPTH or any(type(key) not in (str, int, bytes) for key in value):
            raise Refused
        return {plain(key): plain(item, depth + 1) for key, item in value.items()}
    raise Refused


def described(value: Any) -> str:
    if isinstance(value, float):
        return "f" + ("nan" if math.isnan(value) else struct.pack(">d", value).hex())
    if isinstance(value, str):
        return "s" + value.encode().hex()
    if isinstance(value, bytes):
        return "b" + value.hex()
    if isinstance(value, list):
        return f"[{','.join(map(described, value))}]"
    if isinstance(value, dict):
        pairs = [described(key) + ":" + described(item) for key, item in value.items()]
        return f"{{{','.join(sorted(pairs))}}}"
    return str(value)


edges = st.sampled_from([1 << bits for bits in (5, 7, 8, 15, 16, 29, 30, 31, 32, 62, 63, 64)])
integers = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.integers(-200, 300),
    st.builds(
        lambda edge, sign, by: edge * sign + by,
        edges,
        st.sampled_from([1, -1]),
        st.integers(-1, 1),
    ),
).filter(lambda number: -(2**63) <= number < 2**64)
texts = st.text(max_size=80)
datas = st.binary(max_size=300)
keys = st.one_of(texts, integers, datas)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    integers,
    st.floats(),
    texts,
    datas,
    datas.map(bytearray),
    datas.map(lambda data: memoryview(data)),
    st.integers(0, 2**32).map(Resource),
)
strange = st.one_of(
    st.text(
        st.characters(min_codepoint=0xD7F0, max_codepoint=0xE00F, exclude_categories=()),
        min_size=1,
    ),
    st.integers(2**63, 2**70).flatmap(lambda number: st.sampled_from([number, -number - 1])),
    st.builds(object),
    st.integers(60, 9000).map(lambda size: b"x" * size),
)
strange_keys = st.one_of(st.booleans(), st.none(), st.floats(allow_nan=False), st.tuples(integers))


def containers(leaves: Any, names: Any) -> Any:
    def grow(parts: Any) -> Any:
        return st.one_of(
            st.lists(parts, max_size=20),
            st.lists(parts, max_size=5).map(tuple),
            st.dictionaries(names, parts, max_size=8),
        )

    return st.recursive(leaves, grow, max_leaves=40)


def deep(values: Any) -> Any:
    """Up to 19 containers around a value."""

    def wrapped(value: Any, shapes: list[int]) -> Any:
        for shape in shapes:
            value = [[value], (value, 1), {"k": value}][shape]
        return value

    return st.builds(wrapped, values, st.lists(st.integers(0, 2), max_size=19))


@SMALL
@given(containers(scalars, keys))
def test_values_cross_alike_on_both_sides(pair: Pair, value: Any) -> None:
    expected = plain(value)
    wire = msgpack.packb(expected, use_bin_type=True)
    if len(wire) > LIMIT:
        return
    ((there, here),) = pair.ask(["v " + source(value)])
    assert here == "|".join([described(expected), described(wire), described(expected), "exact"])
    copied, packed, unpacked, limit = there.split("|")
    assert (copied, unpacked, limit) == (described(expected), described(expected), "exact")
    theirs = bytes.fromhex(packed[1:])
    assert len(theirs) == len(wire)
    # MicroPython's dicts are not ordered, so the bytes may be: what they mean is not.
    assert described(msgpack.unpackb(theirs, strict_map_key=False)) == described(expected)


@SMALL
@given(deep(containers(st.one_of(scalars, strange), st.one_of(keys, strange_keys))))
def test_copy_and_pack_refuse_the_same_values_on_both_sides(pair: Pair, value: Any) -> None:
    try:
        expected = described(plain(value))
        large = len(msgpack.packb(plain(value), use_bin_type=True)) > LIMIT
    except Refused:
        expected, large = "!", False
    for answer in pair.ask(["v " + source(value)])[0]:
        copied, packed = answer.split("|")[:2]
        if expected == "!":
            assert re.match("!(NotSerializable|TooLarge) ", copied)
        elif large:
            assert copied.startswith("!TooLarge ")
        else:
            assert copied == expected
        if copied.startswith("!"):
            assert packed == copied
        else:
            assert packed.startswith("b")


class Pairs(list[tuple[Any, Any]]):
    """A map of the wire as msgpack read it."""


def judged(data: bytes) -> str:
    """What `unpack` has to make of a buffer: msgpack reads it, the table says what is there."""

    def checked(value: Any, depth: int) -> Any:
        if isinstance(value, (list, Pairs)) and depth == DEPTH:
            raise Refused
        if isinstance(value, Pairs):
            if any(type(key) not in (str, int, bytes) for key, _ in value):
                raise Refused
            return {key: checked(item, depth + 1) for key, item in value}
        if isinstance(value, list):
            return [checked(item, depth + 1) for item in value]
        if not isinstance(value, (int, float, str, bytes, type(None))):
            raise Refused
        return value

    try:
        read = msgpack.unpackb(data, strict_map_key=False, object_pairs_hook=Pairs)
        return described(checked(read, 0))
    except (Refused, ValueError, msgpack.UnpackException, TypeError):
        return "!"


def mutated(chance: random.Random, data: bytes) -> bytes:
    """A good message, spoiled."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        at = chance.randrange(len(out) + 1)
        how = chance.randrange(5)
        if how == 0:
            out[at : at + 1] = bytes((chance.randrange(256),))
        elif how == 1:
            del out[at:]
        elif how == 2:
            out[at:at] = bytes((chance.randrange(0x80, 256),))
        elif how == 3:
            out[at : at + 4] = chance.randrange(1 << 32).to_bytes(4, "big")
        else:
            del out[at : at + chance.randrange(4)]
    return bytes(out)


def any_value(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.randrange(6 if depth > 4 else 9)
    if kind == 0:
        return chance.choice((None, True, False, 1.5, math.inf, 0))
    if kind == 1:
        return chance.choice((1, -1)) * chance.getrandbits(chance.randrange(1, 64))
    if kind == 2:
        return "".join(chance.choice("aé漢🐈\0") for _ in range(chance.randrange(40)))
    if kind == 3:
        return chance.randbytes(chance.choice((0, 3, 40, 300)))
    if kind < 6:
        return chance.randrange(-40, 140)
    if kind == 6:
        names = (
            chance.choice((chance.randrange(99), f"k{chance.randrange(99)}", b"k"))
            for _ in range(5)
        )
        return {name: any_value(chance, depth + 1) for name in names}
    return [any_value(chance, depth + 1) for _ in range(chance.randrange(6))]


def heads(chance: random.Random) -> bytes:
    """Codes with lengths that lie, nested without end."""
    out = b""
    for _ in range(chance.randrange(1, 40)):
        code = chance.randrange(0x80, 0x100)
        out += bytes((code,)) + chance.choice(
            (b"", b"\0", b"\x01", b"\xff\xff", b"\0\0\0\x05", b"\x7f\xff\xff\xff")
        )
    return out + chance.randbytes(chance.randrange(20))


def texts_of_bytes(chance: random.Random) -> bytes:
    """A str made of what looks like UTF-8 but may not be."""
    leads = (0x61, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xED, 0xEF, 0xF0, 0xF1, 0xF4, 0xF5, 0xF8)
    follows = (0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0x7F, 0xC0)
    out = b""
    for _ in range(chance.randrange(1, 5)):
        lead = chance.choice(leads)
        length = (lead > 0xC0) + (lead > 0xDF) + (lead > 0xEF) + (chance.random() < 0.05)
        out += bytes([lead] + [chance.choice(follows[:6] * 6 + follows) for _ in range(length)])
    return bytes((0xA0 | len(out),)) + out


KINDS: list[Callable[[random.Random], bytes]] = [
    lambda chance: chance.randbytes(chance.randrange(60)),
    lambda chance: mutated(chance, msgpack.packb(any_value(chance))),
    lambda chance: mutated(chance, msgpack.packb(any_value(chance))),
    heads,
    texts_of_bytes,
    lambda chance: msgpack.packb(any_value(chance)),
    lambda chance: bytes((chance.choice((0x91, 0x81)),)) * chance.randrange(40) + b"\x01" * 40,
]


def test_hostile_buffers_are_refused_alike_on_both_sides(pair: Pair) -> None:
    chance = random.Random(None if DEEP else 1)
    accepted = 0
    for _ in range(BUFFERS // BATCH):
        buffers = [chance.choice(KINDS)(chance) for _ in range(BATCH)]
        for data, answers in zip(
            buffers, pair.ask(["u " + data.hex() for data in buffers]), strict=True
        ):
            expected = judged(data)
            accepted += expected != "!"
            for answer in answers:
                if expected == "!":
                    assert answer.startswith("!NotSerializable "), data.hex()
                else:
                    assert answer == expected, data.hex()
    assert BUFFERS // 10 < accepted < BUFFERS // 2


def test_how_many_inputs_were_tried(pair: Pair) -> None:
    print(f"{pair.asked} values and buffers of values on each side")
    assert pair.asked > 0
