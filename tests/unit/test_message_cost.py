# What copy and unpack allocate: nothing for a plain value, little for a short list.
# Hostile messages get no more than in proportion to their size.
import gc

from kodkod import errors
from kodkod.message import copy, pack, unpack


def allocated(function, *args):
    function(*args)
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    function(*args)
    after = gc.mem_alloc()
    gc.enable()
    return after - before


def refused(way, value):
    try:
        way(value)
    except errors.TooLarge:
        return
    raise AssertionError("not refused")


def hostile(data):
    try:
        unpack(data)
    except errors.KodkodError:
        pass


def in_frames(count, function):
    return in_frames(count - 1, function) if count else function()


def test_copy_of_a_plain_value_allocates_nothing():
    for value in (0, 5, -5, 1 << 29, None, True, 1.5, b"x" * 1000):
        assert allocated(copy, value) == 0, value


def test_copy_of_text_allocates_one_small_object():
    assert allocated(copy, "x" * 1000) <= 32


def test_copy_of_a_short_list_allocates_the_list_alone():
    value = [1, None, 1.5, b"x" * 500]
    assert allocated(copy, value) <= allocated(list, value)


def test_hostile_messages_allocate_in_proportion_to_their_size():
    size = 4096
    for data in (
        b"\x90" * size,
        b"\xdc\x0f\xfc" + b"\x90" * (size - 3),
        b"\xdc\x0f\xfc" + b"\x80" * (size - 3),
        b"\xdd\x00\x00\x0f\xfb" + b"\x90" * (size - 5),
        b"\xdd\xff\xff\xff\xff" + b"\x90" * (size - 5),
        b"\xdf\x00\x00\x07\xfd" + b"\x01\x90" * (size // 2 - 3),
        b"\xdf\x7f\xff\xff\xff" + b"\x01\x90" * (size // 2 - 3),
        b"\xc6\xff\xff\xff\xff" + b"\x01" * (size - 5),
        b"\xdb\x00\x00\x0f\xfb" + b"\xc3\xa9" * ((size - 5) // 2) + b"\xff",
        b"\x91" * size,
        (b"\xdc\x00\xff" + b"\x90" * 255) * (size // 258),
    ):
        used = allocated(hostile, data)
        # An empty list is 96 bytes here (half of it on a device), and its list grows by copies.
        assert used < size * 140, (data[:6], used)


def test_a_value_that_is_too_large_is_not_copied_first():
    for value in ("x" * 100000, b"x" * 100000, bytearray(100000), "漢" * 8000, [0, b"x" * 100000]):
        for way in (copy, pack):
            assert allocated(refused, way, value) < 12000, (way, value[:3])


def test_sixteen_levels_need_few_frames():
    value = 1
    for _ in range(16):
        value = [value]

    def work():
        assert copy(value) == value

    in_frames(5, work)
    # No recursion: a value of 16 levels allocates no frame for each of them.
    deep = allocated(copy, value)
    assert deep < 16 * 400, deep
