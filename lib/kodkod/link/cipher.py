# Proof of the key and encrypted frames, without I/O: plain objects that are fed bytes.
# docs/protocol.md says every byte, and why the length is in the clear.

import os
from hashlib import sha256

from kodkod.errors import AuthFailed, Incompatible

try:
    from cryptolib import aes
except ImportError:  # CPython
    from .aes_host import aes

try:
    from micropython import const
except ImportError:

    def const(value):
        return value


VERSION = 1
MAGIC = b"kodkod"
HELLO_SIZE = 32
PROOF_SIZE = 32
MAX_PAYLOAD = 2048
MAX_FRAME = MAX_PAYLOAD + 34  # length, first block, MAC; MAX_PAYLOAD is a multiple of 16
BUSY = 1  # why a device refuses: its links are taken
OTHER_VERSION = 2

_CBC = const(2)
_MAC = const(16)


class Hmac:
    """HMAC-SHA-256 with one key of at most 64 bytes."""

    def __init__(self, key):
        key = key + bytes(64 - len(key))
        self._inner = bytes(b ^ 0x36 for b in key)
        self._outer = bytes(b ^ 0x5C for b in key)

    def digest(self, first, second=b"", third=b""):
        """The 32 bytes for what the parts are when joined."""
        inner = sha256(self._inner)
        inner.update(first)
        inner.update(second)
        inner.update(third)
        outer = sha256(self._outer)
        outer.update(inner.digest())
        return outer.digest()


def same(one, other):
    """True when two byte strings are equal, in a time that does not tell where they differ."""
    differ = len(one) ^ len(other)
    for a, b in zip(one, other):
        differ |= a ^ b
    return not differ


class Sealer:
    """Turns payloads into the frames of one direction."""

    def __init__(self, session, letter):
        self._aes = aes(session.digest(b"encrypt ", letter), _CBC, bytes(16))
        self._hmac = Hmac(session.digest(b"protect ", letter))
        self._count = 0

    def _mac(self, body):
        self._count += 1
        return self._hmac.digest(self._count.to_bytes(8, "big"), body)[:_MAC]

    def seal(self, payload):
        """The frame for `payload` (at most MAX_PAYLOAD bytes), as a new bytearray."""
        size = len(payload)
        end = (size + 31 & ~15) + 2
        frame = bytearray(end + _MAC)
        view = memoryview(frame)
        view[:2] = (end - 2).to_bytes(2, "big")
        view[2:16] = os.urandom(14)
        view[16:18] = size.to_bytes(2, "big")
        view[18 : 18 + size] = payload
        self._aes.encrypt(view[2:end], view[2:end])
        view[end:] = self._mac(view[:end])
        return frame


class Opener(Sealer):
    """Turns the frames of one direction back into payloads."""

    def open(self, frame):
        """The payload in `frame` (a memoryview of a whole one), decrypted in place.

        AuthFailed: it is not the next frame that the other side sent.
        """
        end = len(frame) - _MAC
        if not same(self._mac(frame[:end]), frame[end:]):
            raise AuthFailed("frame altered")
        body = frame[2:end]
        self._aes.decrypt(body, body)
        size = body[14] << 8 | body[15]
        if (size + 31 & ~15) != end - 2:
            raise AuthFailed("frame length")
        return body[16 : 16 + size]


def frame_size(head):
    """The size of the whole frame that begins with the two bytes `head`.

    AuthFailed: no frame has such a length.
    """
    size = head[0] << 8 | head[1]
    if size & 15 or not 32 <= size + 16 <= MAX_FRAME - 2:
        raise AuthFailed("frame length")
    return size + 2 + _MAC


class Handshake:
    """What both ends know once the nonces are exchanged: who else has the key, and the keys.

    `transcript` is the host's hello, then the device's.
    """

    def __init__(self, key, transcript):
        self._hmac = Hmac(key)
        self._transcript = transcript

    def proof(self, letter):
        """What b"D" (the device) or b"H" (the host) shows to the other side."""
        return self._hmac.digest(b"kodkod proof ", letter, self._transcript)

    def ciphers(self, sends, receives):
        """(Sealer, Opener) of the end whose letter is `sends`."""
        session = Hmac(self._hmac.digest(b"kodkod session ", self._transcript))
        return Sealer(session, sends), Opener(session, receives)


class Doorkeeper:
    """The device's side of one handshake."""

    def __init__(self, key):
        self._key = key

    def answer(self, hello):
        """The bytes to send for the host's `hello` (HELLO_SIZE bytes).

        Incompatible: it is none; its `.reply` is what to send before closing, or b"".
        """
        known = hello[:6] == MAGIC
        if not known or not hello[7] <= VERSION <= hello[6]:
            error = Incompatible("not kodkod's protocol")
            error.reply = refusal(OTHER_VERSION) if known else b""
            raise error
        mine = MAGIC + bytes((VERSION, 0)) + os.urandom(24)
        self._handshake = Handshake(self._key, hello + mine)
        return mine + self._handshake.proof(b"D")

    def check(self, proof):
        """(Sealer, Opener) when `proof` shows that the host has the key, else AuthFailed."""
        if not same(proof, self._handshake.proof(b"H")):
            raise AuthFailed("wrong key")
        return self._handshake.ciphers(b"D", b"H")


def refusal(reason):
    """What a device sends in place of its hello and proof."""
    return MAGIC + bytes((0, reason, VERSION)) + bytes(55)
