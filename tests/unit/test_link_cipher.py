# Handshake and encrypted frames: the same bytes on the device and on the host.
# also: cpython
from harness import raises
from kodkod.errors import AuthFailed
from kodkod.link import cipher
from kodkod.link.cipher import FRAME, HELLO, Handshake, answer, frame_size, hmac, same

KEY = bytes(range(16))
HOST = b"kodkod\x01\x01" + bytes(range(24))


def pair(key=KEY):
    handshake = Handshake(key, b"transcript")
    return handshake.cipher(b"H", b"D"), handshake.cipher(b"D", b"H")


def copy(frame):
    return memoryview(bytearray(frame))


def test_hmac_is_that_of_rfc_4231():
    assert hmac(b"Jefe")(b"what do ya want ", b"for nothing?").hex() == (
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    )
    assert hmac(b"\x0b" * 20)(b"Hi There").hex() == (
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
    )


def test_same_compares_all():
    assert same(b"", b"") and same(b"abc", bytearray(b"abc"))
    assert not same(b"abc", b"abd") and not same(b"abc", b"ab") and not same(b"", b"a")


def test_frames_come_back_in_order_both_ways():
    host, device = pair()
    for size in list(range(70)) + [1000, 2047, 2048]:
        content = bytes([size & 255]) * size
        assert bytes(device.open(copy(host.seal(content)))) == content
        assert bytes(host.open(copy(device.seal(content)))) == content


def test_frame_says_its_size_and_hides_the_rest():
    host, _ = pair()
    for size in (0, 1, 15, 16, 17, 2048):
        frame = host.seal((b"secret" * 400)[:size])
        assert frame_size(frame) == len(frame) <= FRAME
        assert b"secret" not in bytes(frame)


def test_equal_payloads_make_different_frames():
    host, _ = pair()
    assert bytes(host.seal(b"again"))[2:] != bytes(host.seal(b"again"))[2:]


def test_altered_frame_is_refused():
    for place in (0, 1, 2, 17, 20, 33, 34, 49):
        host, device = pair()
        frame = copy(host.seal(b"content"))
        assert len(frame) == 50
        frame[place] ^= 1
        with raises(AuthFailed):
            device.open(frame)


def test_replayed_frame_is_refused():
    host, device = pair()
    frame = host.seal(b"pay")
    device.open(copy(frame))
    with raises(AuthFailed):
        device.open(copy(frame))


def test_reordered_and_left_out_frames_are_refused():
    host, device = pair()
    host.seal(b"first")
    second = host.seal(b"second")
    with raises(AuthFailed):
        device.open(copy(second))


def test_reflected_frame_is_refused():
    host, device = pair()
    with raises(AuthFailed):
        host.open(copy(host.seal(b"back to you")))
    device.seal(b"")
    with raises(AuthFailed):
        device.open(copy(device.seal(b"and to you")))


def test_frame_of_another_connection_is_refused():
    host = Handshake(KEY, b"one").cipher(b"H", b"D")
    device = Handshake(KEY, b"other").cipher(b"D", b"H")
    with raises(AuthFailed):
        device.open(copy(host.seal(b"content")))


def test_cut_frame_is_refused():
    for left in (18, 34, 49):
        host, device = pair()
        with raises(AuthFailed):
            device.open(copy(host.seal(b"content"))[:left])


def test_only_possible_lengths_are_frames():
    possible = 0
    for size in range(65536):
        try:
            assert frame_size(size.to_bytes(2, "big")) == size + 18
            possible += 1
        except AuthFailed:
            continue
        assert size % 16 == 0 and 16 <= size <= 2064
    assert possible == 129


def test_both_sides_derive_the_same_keys():
    reply, device = answer(KEY, HOST)
    assert len(reply) == 2 * HELLO
    host = Handshake(KEY, HOST + reply[:HELLO])
    assert reply[HELLO:] == host.proof(b"D")
    assert device.proof(b"H") == host.proof(b"H") != host.proof(b"D")
    there, here = host.cipher(b"H", b"D"), device.cipher(b"D", b"H")
    assert bytes(here.open(copy(there.seal(b"hello")))) == b"hello"


def test_device_answers_each_hello_anew():
    assert answer(KEY, HOST)[0] != answer(KEY, HOST)[0]


def test_another_key_proves_nothing():
    reply, device = answer(KEY, HOST)
    stranger = Handshake(bytes(16), HOST + reply[:HELLO])
    assert reply[HELLO:] != stranger.proof(b"D")
    assert device.proof(b"H") != stranger.proof(b"H")


def test_hello_of_another_protocol_gets_no_word():
    for hello in (b"GET / HTTP/1.1\r\nHost: me\r\n\r\n....", bytes(HELLO), b"kodkoD" + HOST[6:]):
        assert answer(KEY, hello) == (b"", None)


def test_hello_of_another_version_is_told_this_one():
    for newest, oldest in ((9, 2), (0, 0), (255, 255)):
        hello = b"kodkod" + bytes((newest, oldest)) + bytes(24)
        reply, handshake = answer(KEY, hello)
        assert handshake is None
        assert reply == b"kodkod\0\x02\x01" + bytes(55)
    hello = b"kodkod" + bytes((9, 1)) + bytes(24)
    assert answer(KEY, hello)[1] is not None


def test_vectors_of_the_protocol_document():
    was = cipher.urandom
    cipher.urandom = lambda count: bytes(range(0x80, 0x80 + count))
    try:
        reply, device = answer(KEY, HOST)
        host = device.cipher(b"H", b"D")
        frames = [bytes(host.seal(b"\x92\x04\x01")), bytes(host.seal(b""))]
        hello = bytes(device.cipher(b"D", b"H").seal(b"\x92\x08\x80"))
    finally:
        cipher.urandom = was
    assert reply.hex() == REPLY
    assert device.proof(b"H").hex() == PROOF
    assert [frame.hex() for frame in frames] == FRAMES
    assert hello.hex() == DEVICE_FRAME


REPLY = (
    "6b6f646b6f640100808182838485868788898a8b8c8d8e8f90919293949596974a66792c95faf7f6"
    "6beca2ea00ece53da1781c0fe50b3122d3a3afd9df9653b1"
)
PROOF = "496d9db7b1b7e718070786cbb2e8325a8f699011a918c3a175f245f73de6fff6"
FRAMES = [
    (
        "002083855e82ca408e4ac24dbe0afdccaf839b5352b520257c809fcd6f6b03ba879645087dcf95d6"
        "3558881ce045d03c391b"
    ),
    ("0010eb9484385571640a13482be9daecb74abef8c8980a2c623f9c6cb2346552e428"),
]
DEVICE_FRAME = (
    "00209a1ba011c5df99f22d39d9b6c341dff8e65517c872af8e07e8d3c02fe186f97cad8a3e7c4be3"
    "dda9a69c9caf287ee6a9"
)
