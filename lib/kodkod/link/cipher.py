# Proof of the key and encrypted frames, without I/O: plain objects that are fed bytes.
# docs/protocol.md says every byte, and why the length is in the clear.

from hashlib import sha256
from os import urandom

from kodkod.errors import AuthFailed

try:
    from cryptolib import aes
    from micropython import const
except ImportError:  # CPython
    from kodkod.link.aes_host import aes

    const = int

HELLO = const(32)  # bytes of a hello, and of a proof
FRAME = const(2082)  # bytes of the longest frame: length, random block, 2048, MAC
_MAC = const(16)
_VERSION = const(1)


def hmac(key):
    """HMAC-SHA-256 with a key of at most 64 bytes: a function of the one or two parts of what is
    protected, to 32 bytes."""
    key += bytes(64 - len(key))
    inner = bytes([b ^ 0x36 for b in key])
    outer = bytes([b ^ 0x5C for b in key])

    def digest(first, second=b""):
        inside = sha256(inner)
        inside.update(first)
        inside.update(second)
        outside = sha256(outer)
        outside.update(inside.digest())
        return outside.digest()

    return digest


def same(one, other):
    """True when two strings of bytes are equal, in a time that does not tell where they differ."""
    differ = len(one) ^ len(other)
    for a, b in zip(one, other):
        differ |= a ^ b
    return not differ


class Cipher:
    """The frames of one connection, in the order of each direction.

    `mine` and `theirs` are the letters of this end and the other: D is the device, H the host.
    """

    def __init__(self, session, mine, theirs):
        self._encrypt = aes(session(b"encrypt ", mine), 2, bytes(16)).encrypt
        self._decrypt = aes(session(b"encrypt ", theirs), 2, bytes(16)).decrypt
        self._protect = hmac(session(b"protect ", mine))
        self._check = hmac(session(b"protect ", theirs))
        self._sent = self._received = 0

    def seal(self, payload):
        """The frame for `payload` (bytes, at most 2048), as a bytearray."""
        size = len(payload)
        end = (size + 31 & ~15) + 2
        frame = bytearray(end + _MAC)
        frame[:2] = (end - 2).to_bytes(2, "big")
        frame[2:16] = urandom(14)
        frame[16:18] = size.to_bytes(2, "big")
        frame[18 : 18 + size] = payload
        view = memoryview(frame)[:end]
        self._encrypt(view[2:], view[2:])
        self._sent += 1
        frame[end:] = self._protect(self._sent.to_bytes(8, "big"), view)[:_MAC]
        return frame

    def open(self, frame):
        """The payload in `frame` (a memoryview of a whole one), decrypted in place.

        AuthFailed: it is not the next frame that the other side sent.
        """
        end = len(frame) - _MAC
        self._received += 1
        mac = self._check(self._received.to_bytes(8, "big"), frame[:end])
        if not same(mac[:_MAC], frame[end:]):
            raise AuthFailed("altered")
        body = frame[2:end]
        self._decrypt(body, body)
        return body[16 : 16 + (body[14] << 8 | body[15])]


def frame_size(head):
    """The size of the frame that begins with the two bytes `head`; AuthFailed: there is none."""
    size = (head[0] << 8 | head[1]) + 2 + _MAC
    if size & 15 != 2 or not 34 <= size <= FRAME:
        raise AuthFailed("frame length")
    return size


class Handshake:
    """What both ends have once the hellos are exchanged.

    `transcript` is the host's hello, then the device's.
    """

    def __init__(self, key, transcript):
        self._digest = hmac(key)
        self._transcript = transcript

    def proof(self, letter):
        """What the end with this letter shows the other."""
        return self._digest(b"kodkod proof " + letter, self._transcript)

    def cipher(self, mine, theirs):
        """The Cipher of the end whose letter is `mine`."""
        return Cipher(hmac(self._digest(b"kodkod session", self._transcript)), mine, theirs)


def answer(key, hello):
    """What the device says to the 32 bytes that a host begins with, and the handshake or None."""
    if hello[:6] != b"kodkod":
        return b"", None
    if not hello[7] <= _VERSION <= hello[6]:
        return refusal(2), None
    mine = b"kodkod\x01\0" + urandom(24)
    handshake = Handshake(key, hello + mine)
    return mine + handshake.proof(b"D"), handshake


def refusal(reason):
    """What a device says instead. 1: its links are taken, 2: it speaks another version."""
    return b"kodkod\0" + bytes((reason, _VERSION)) + bytes(55)
