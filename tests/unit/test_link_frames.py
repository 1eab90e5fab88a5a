# Frames of the console: COBS, CRC, and finding the place again.
# also: cpython
from binascii import crc32

from kodkod.link.frames import Splitter, frame, payload


def split(data, limit=4000, step=None):
    texts = []
    splitter = Splitter(limit, lambda text: texts.append(bytes(text)))
    found = []
    step = step or len(data) or 1
    for i in range(0, len(data), step):
        found += splitter.feed(data[i : i + step])
    splitter.flush()
    return found, b"".join(texts)


def test_vectors():
    assert frame(b"").hex() == "00" + "01" * 4 + "01" + "00"
    assert frame(b"kod").hex() == "00" + "08" + b"kod".hex() + crc(b"kod") + "00"
    assert frame(b"\0").hex() == "0001058def02d200"


def crc(data):
    return crc32(data).to_bytes(4, "little").hex()


def test_every_length_around_a_full_run_comes_back():
    for size in list(range(12)) + list(range(245, 262)) + list(range(500, 516)) + [2048]:
        for content in (bytes(size), b"x" * size, bytes(i & 255 for i in range(size))):
            wire = bytes(frame(content))
            assert wire[0] == wire[-1] == 0
            assert 0 not in wire[1:-1]
            assert payload(wire[1:-1]) == content
            assert len(wire) <= size + 4 + 3 + (size + 4) // 254


def test_text_between_frames_stays_in_order():
    wire = b"boot\r\n" + frame(b"one") + b"hello\n" + frame(b"two") + frame(b"three") + b">>> "
    for step in (1, 2, 3, 7, 1000):
        found, text = split(wire, step=step)
        assert found == [b"one", b"two", b"three"]
        assert text == b"boot\r\nhello\n>>> "


def test_flipped_byte_is_no_frame():
    wire = frame(b"some content \0 with a zero")
    for i in range(1, len(wire) - 1):
        for flip in (1, 0x80, wire[i]):
            bad = bytearray(wire)
            bad[i] ^= flip
            found, _ = split(bad)
            assert found == [], i


def test_lost_or_doubled_byte_costs_one_frame_at_most():
    good = frame(b"before"), frame(b"damaged \0 frame"), frame(b"after"), frame(b"last")
    for i in range(len(good[1])):
        lost = good[1][:i] + good[1][i + 1 :]
        found, _ = split(b"".join([good[0], lost, good[2], good[3]]))
        assert [f for f in found if f != b"damaged \0 frame"] == [b"before", b"after", b"last"]
        doubled = good[1][:i] + good[1][i : i + 1] + good[1][i:]
        found, _ = split(b"".join([good[0], doubled, good[2], good[3]]))
        assert [f for f in found if f != b"damaged \0 frame"] == [b"before", b"after", b"last"]


def test_long_garbage_is_given_up_in_pieces():
    biggest = 0

    def text(data):
        nonlocal biggest
        biggest = max(biggest, len(data))

    splitter = Splitter(100, text)
    for _ in range(1000):
        splitter.feed(b"garbage without any zero ")
    assert 100 < biggest <= 125
    assert splitter.feed(b"\0" + frame(b"found again")) == [b"found again"]


def test_no_bytes_are_no_frame():
    assert payload(b"") is None
    assert payload(b"\x01") is None
    assert split(bytes(10)) == ([], b"")
