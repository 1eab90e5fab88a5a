"""The host's end of the link over TCP: handshake and encrypted frames."""

from __future__ import annotations

import asyncio
import os

from kodkod.errors import AuthFailed, Busy, Incompatible
from kodkod.link.cipher import HELLO, Cipher, Handshake, frame_size, same

MAGIC = b"kodkod"
VERSION = 1
BUSY = 1  # a device's reason to refuse


class Knock:
    """The host's side of one handshake, without I/O."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.hello = MAGIC + bytes((VERSION, VERSION)) + os.urandom(24)

    def check(self, answer: bytes) -> tuple[bytes, Cipher]:
        """The proof to send, and the cipher, for the device's hello and proof.

        AuthFailed: who answers does not have the key. Incompatible: it speaks another protocol
        or version. Busy: all its links are taken.
        """
        mine, proof = answer[:HELLO], answer[HELLO:]
        if mine[:6] != MAGIC:
            raise Incompatible("what answers at this address is not a Kodkod device")
        if mine[6] == 0 and mine[7] == BUSY:
            raise Busy("the device has no free link: close another kod, or try again")
        if mine[6] != VERSION:
            raise Incompatible(
                f"the device speaks protocol {mine[8]}, this kod {VERSION}: "
                "update the older one (kod setup updates a device)"
            )
        handshake = Handshake(self._key, self.hello + mine)
        if not same(proof, handshake.proof(b"D")):
            raise AuthFailed(
                "the device does not have the key that this computer has for it; kod setup over "
                "its cable learns the key, kod devices add ADDRESS --key KEY tells it"
            )
        return handshake.proof(b"H"), handshake.cipher(b"H", b"D")


class TcpCarrier:
    """Encrypted frames over a connection."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cipher: Cipher
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._cipher = cipher

    async def receive(self) -> bytes:
        """The next payload; EOFError, OSError or AuthFailed when there will be none."""
        head = await self._reader.readexactly(2)
        rest = await self._reader.readexactly(frame_size(head) - 2)
        return bytes(self._cipher.open(memoryview(bytearray(head + rest))))

    def send(self, payload: bytes) -> None:
        """Queue a payload; the session bounds how much can wait."""
        self._writer.write(self._cipher.seal(payload))

    async def close(self) -> None:
        """Send what is queued, if that is quick, and hang up."""
        await hang_up(self._writer)


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        await asyncio.wait_for(writer.wait_closed(), 0.5)
    except (OSError, asyncio.TimeoutError):
        writer.transport.abort()


async def connect(host: str, port: int, key: bytes) -> TcpCarrier:
    """Connect and prove the key, both ways."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        knock = Knock(key)
        writer.write(knock.hello)
        proof, cipher = knock.check(await reader.readexactly(2 * HELLO))
        writer.write(proof)
        return TcpCarrier(reader, writer, cipher)
    except BaseException:  # also when cancelled
        await hang_up(writer)
        raise
