# The table of docs/values.md, on both sides: copy, and pack with unpack, agree on every line.
# also: cpython
import struct
from binascii import unhexlify

from harness import raises
from kodkod import errors, message
from kodkod.message import copy, pack, unpack


def crosses(value, expected):
    """Both ways, alone and inside containers; types count."""
    for wrap, unwrap in (
        (lambda v: v, lambda v: v),
        (lambda v: [v], lambda v: v[0]),
        (lambda v: (0, {"k": [v, 1]}), lambda v: v[1]["k"][0]),
    ):
        for way in (copy, lambda v: unpack(pack(v))):
            result = unwrap(way(wrap(value)))
            assert type(result) is type(expected), (value, result)
            assert result == expected or (result != result and expected != expected), result


def refused(value, text, error="NotSerializable"):
    for way in (copy, pack):
        with raises(getattr(errors, error)) as caught:
            way(value, 8192, "arguments")
        assert str(caught.value) == text, str(caught.value)


class Resource:
    def __init__(self, handle):
        self.handle = handle

    def _kodkod_handle(self):
        if self.handle is None:
            raise errors.ResourceClosed("resource is closed")
        return self.handle


class Number(int):
    pass


class Table(dict):
    pass


def test_none_and_booleans_cross_as_themselves():
    for value in (None, True, False):
        crosses(value, value)


def test_integers_of_64_bits_cross():
    for bits in (0, 5, 7, 8, 15, 16, 30, 31, 32, 62, 63):
        for near in (-1, 0, 1):
            crosses((1 << bits) + near, (1 << bits) + near)
            crosses(
                -(1 << bits) - near if bits < 63 else -(1 << 63),
                -(1 << bits) - near if bits < 63 else -(1 << 63),
            )
    crosses(2**64 - 1, 2**64 - 1)


def test_integers_take_the_shortest_form():
    for value, size in ((127, 1), (-32, 1), (128, 2), (-33, 2), (255, 2), (256, 3), (-129, 3)):
        assert len(pack(value)) == size
    for value, size in ((65536, 5), (-32769, 5), (2**32, 9), (-(2**31) - 1, 9)):
        assert len(pack(value)) == size


def test_integers_beyond_64_bits_are_refused():
    for value in (2**64, -(2**63) - 1, 10**100):
        refused([value], "arguments[0]: int beyond 64 bits")
        refused({value: 1}, "arguments: int key")


def test_floats_cross_with_infinities_and_nan():
    for value in (0.0, 1.5, -2.25, 3e38, float("inf"), float("-inf"), float("nan")):
        crosses(value, value)
    assert str(unpack(pack(-0.0))) == "-0.0"
    assert len(pack(1.5)) == 9


def test_text_crosses():
    for value in (
        "",
        "a",
        "\x00",
        "é",
        "漢字",
        "🐈",
        "\ud7ff\ue000\U0010ffff",
        "x" * 31,
        "x" * 32,
        "x" * 300,
    ):
        crosses(value, value)


def test_text_with_surrogates_is_refused():
    refused(["a\ud800b"], "arguments[0]: str not UTF-8")
    refused("\udfff", "arguments: str not UTF-8")
    refused({"\ud83d\ude00": 1}, "arguments: str key")


def test_bytes_like_values_arrive_as_bytes():
    for size in (0, 1, 255, 256, 5000):
        data = bytes(range(256)) * 20
        for kind in (bytes, bytearray, memoryview):
            crosses(kind(data[:size]), data[:size])


def test_copied_bytes_do_not_change_with_the_original():
    data = bytearray(b"abc")
    copied = copy([data, memoryview(data)])
    data[0] = 0
    assert copied == [b"abc", b"abc"]


def test_tuples_arrive_as_lists_that_can_grow():
    result = copy((1, (2,)))
    assert result == [1, [2]]
    result[1].append(3)
    crosses((), [])
    crosses((1, 2), [1, 2])


def test_copies_share_nothing_mutable():
    inner = [1]
    original = {"a": inner, "b": [inner, {"c": inner}]}
    copied = copy(original)
    inner.append(2)
    assert copied == {"a": [1], "b": [[1], {"c": [1]}]}
    copied["a"].append(3)
    assert inner == [1, 2] and copied["b"][0] == [1]
    flat = [1, "a"]
    assert copy(flat) is not flat and copy({}) is not copy({})


def test_keys_may_be_text_integers_and_bytes():
    crosses(
        {"a": 1, b"a": 2, 1: 3, "1": 4, -5: 5, 2**64 - 1: 6},
        {"a": 1, b"a": 2, 1: 3, "1": 4, -5: 5, 2**64 - 1: 6},
    )
    crosses({}, {})


def test_keys_of_other_types_are_refused():
    refused({True: 1}, "arguments: bool key")
    refused([{1.0: 1}], "arguments[0]: float key")
    refused({"a": {None: 1}}, "arguments['a']: NoneType key")
    refused({(1, 2): 1}, "arguments: tuple key")
    refused({Resource(1): 1}, "arguments: Resource key")


def test_true_and_one_are_one_key():
    value = {True: "a"}
    value[1] = "b"
    refused(value, "arguments: bool key")
    value = {1: "a"}
    value[True] = "b"
    crosses(value, {1: "b"})


def test_resources_cross_as_handles_at_any_depth():
    crosses(Resource(7), 7)
    crosses([[{"r": (Resource(2**40),)}]], [[{"r": [2**40]}]])


def test_a_closed_resource_raises_its_own_error():
    for way in (copy, pack):
        with raises(errors.ResourceClosed):
            way([Resource(None)])


class Proxy:
    handle = None

    def _kodkod_handle(self):
        return self.handle


def test_a_closed_proxy_is_resource_closed():
    for way in (copy, pack):
        with raises(errors.ResourceClosed, "arguments: a closed Proxy"):
            way([1, {"held": Proxy()}], None, "arguments")


def test_a_handle_that_is_no_int_is_refused():
    for handle in ("a", True, 1.0, [1]):
        refused([Resource(handle)], "arguments[0]: Resource")


def test_a_class_is_not_its_instance():
    refused([Resource], "arguments[0]: type")


def test_other_types_are_refused_with_their_path():
    refused([0, 1, {"pin": object()}], "arguments[2]['pin']: object")
    refused({5: {b"x": [set()]}}, "arguments[5][b'x'][0]: set")
    refused(struct, "arguments: module")
    refused(len, "arguments: " + type(len).__name__)


def test_subclasses_are_refused():
    refused(Number(5), "arguments: Number")
    refused([Table()], "arguments[0]: Table")


def nested(levels, inner=()):
    value = inner
    for _ in range(levels):
        value = [value]
    return value


def test_sixteen_levels_cross():
    crosses_whole = nested(15)
    assert unpack(pack(crosses_whole)) == copy(crosses_whole) == nested(15, [])
    mixed = {}
    for _ in range(15):
        mixed = {"a": mixed}
    assert unpack(pack(mixed)) == copy(mixed) == mixed


def test_seventeen_levels_are_refused():
    for value in (nested(16), nested(16, {}), nested(500)):
        for way in (copy, pack):
            with raises(errors.NotSerializable, "more than 16 levels"):
                way(value)


def test_a_message_of_a_link_has_one_level_more_than_the_value_in_it():
    value = nested(15)
    assert unpack(pack([value], levels=17), 17) == [copy(value)]
    with raises(errors.NotSerializable, "more than 16 levels"):
        pack([[value]], levels=17)
    with raises(errors.NotSerializable):
        unpack(b"\x91" * 17 + b"\x90", 17)


def test_a_container_in_itself_is_refused():
    value = []
    value.extend([value] * 50)
    for way in (copy, pack):
        with raises(errors.NotSerializable, "more than 16 levels"):
            way(value)


def test_the_limit_is_exact():
    for value in (
        5,
        1000,
        2**40,
        1.5,
        None,
        "abc",
        b"abc",
        "é" * 40,
        [1, 2, 3],
        ("a", None),
        {"a": [1, b"xy"]},
        ["x" * 300],
        [[], {}],
        [5] * 20,
        bytearray(70),
        Resource(9),
    ):
        size = len(pack(value))
        assert pack(value, size) == pack(value)
        assert copy(value, size) == unpack(pack(value))
        for way in (copy, pack):
            with raises(errors.TooLarge, f"arguments: over {size - 1} bytes"):
                way(value, size - 1, "arguments")


def test_eight_kilobytes_are_the_usual_limit():
    assert len(copy("x" * 8189)) == 8189
    for value in (
        "x" * 8190,
        [b"x" * 5000] * 2,
        bytearray(100000),
        ["ab"] * 5000,
        list(range(3000)),
        "漢" * 3000,
    ):
        for way in (copy, pack):
            with raises(errors.TooLarge):
                way(value)


def test_shared_parts_do_not_explode():
    value = ["x"]
    for _ in range(14):
        value = [value, value]
    for way in (copy, pack):
        with raises(errors.TooLarge):
            way(value)


def hexes(text):
    return [unhexlify(word) for word in text.split()]


def test_longer_forms_than_needed_are_taken():
    taken = (
        ("cc05 cd0005 ce00000005 cf0000000000000005 d30000000000000005", 5),
        ("d0ff d1ffff d2ffffffff d3ffffffffffffffff", -1),
        ("d90161 da000161 db0000000161", "a"),
        ("c40161 c5000161 c60000000161", b"a"),
        ("dc000105 dd0000000105", [5]),
        ("de00010506 df000000010506 8205070506", {5: 6}),
        ("ca3fc00000", 1.5),
    )
    for text, value in taken:
        for data in hexes(text):
            assert unpack(data) == unpack(bytearray(data)) == unpack(memoryview(data)) == value


def test_malformed_messages_are_refused():
    short = """c1 0000 91 9200 8100 a1 c4 c401 c5ffff61 ca000000 cb00000000000000 cc cd00 ce000000
        cf00000000000000 d3 d90261 dcffff ddffffffff deffff dfffffffff0000 dd00 db80000000
        c6ffffffff dfffffffffffffffffff 920001c0 d2ffffff"""
    deep = [b"\x91" * 17, b"\x91" * 16 + b"\x90", b"\x81\0" * 16 + b"\x80", b"\x91" * 5000]
    for data in [b""] + hexes(short) + deep:
        with raises(errors.NotSerializable, "malformed message"):
            unpack(data)


def test_extension_types_are_refused():
    for code in (0xC7, 0xC8, 0xC9, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8):
        for head in (bytes((code,)), bytes((0x91, code))):
            with raises(errors.NotSerializable):
                unpack(head + bytes(40))


def test_keys_of_other_types_are_refused_when_unpacked():
    for data in hexes("81c001 81c301 81ca0000000001 819001 818001 81cb000000000000000001"):
        with raises(errors.NotSerializable):
            unpack(data)


def text_of(data):
    return unpack(bytes((0xA0 + len(data),)) + data)


def test_text_that_is_not_utf8_is_refused_when_unpacked():
    garbled = """80 ff c3 c361 e282 c080 c1bf e080 e09fbf eda080 edbfbf f08fbfbf f4908080 f5808080
        f7bfbfbf f888808080 61ed62 f48fbfbfeda080 ed9fbfeda080"""
    for data in hexes(garbled):
        with raises(errors.NotSerializable):
            text_of(data)
    for data in hexes("c280 dfbf e0a080 ed9fbf ee8080 f0908080 f48fbfbf f09f9088e6bca2"):
        assert text_of(data).encode() == data


def test_limits_are_public():
    assert message.LIMIT == 8192


def test_the_usual_limit_can_be_set():
    usual = message.LIMIT
    try:
        message.LIMIT = 100
        for way in (message.copy, message.pack):
            with raises(errors.TooLarge, "over 100 bytes"):
                way(["x" * 50, "y" * 50])
            way(["x" * 50, "y" * 50], 200)
        message.LIMIT = 20000
        assert message.copy({"text": "x" * 10000}) == {"text": "x" * 10000}
        assert len(message.pack("x" * 10000)) == 10003
    finally:
        message.LIMIT = usual
