"""The host's end of the link over TCP: handshake and encrypted frames."""

from __future__ import annotations

import asyncio
import os

from kodkod.errors import AuthFailed, Busy, Incompatible
from kodkod.link import cipher


class Knock:
    """The host's side of one handshake, without I/O."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.hello = cipher.MAGIC + bytes((cipher.VERSION, cipher.VERSION)) + os.urandom(24)

    def check(self, answer: bytes) -> tuple[bytes, cipher.Sealer, cipher.Opener]:
        """The proof to send, and the two ciphers, for the device's hello and proof.

        AuthFailed: who answers does not have the key. Incompatible: it speaks another protocol
        or version. Busy: all its links are taken.
        """
        mine, proof = answer[: cipher.HELLO_SIZE], answer[cipher.HELLO_SIZE :]
        if mine[:6] != cipher.MAGIC:
            raise Incompatible("what answers at this address is not a Kodkod device")
        if mine[6] == 0 and mine[7] == cipher.BUSY:
            raise Busy("the device has no free link: close another kod, or try again")
        if mine[6] != cipher.VERSION:
            raise Incompatible(
                f"the device speaks protocol {mine[8]}, this kod {cipher.VERSION}: "
                "update the older one (kod setup updates a device)"
            )
        handshake = cipher.Handshake(self._key, self.hello + mine)
        if not cipher.same(proof, handshake.proof(b"D")):
            raise AuthFailed("the device does not have the key that this computer has for it")
        return handshake.proof(b"H"), *handshake.ciphers(b"H", b"D")


class TcpCarrier:
    """Encrypted frames over a connection."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        sealer: cipher.Sealer,
        opener: cipher.Opener,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._sealer = sealer
        self._opener = opener

    async def receive(self) -> bytes:
        """The next payload; EOFError, OSError or AuthFailed when there will be none."""
        head = await self._reader.readexactly(2)
        rest = await self._reader.readexactly(cipher.frame_size(head) - 2)
        return bytes(self._opener.open(memoryview(bytearray(head + rest))))

    def send(self, payload: bytes) -> None:
        """Queue a payload; the session bounds how much can wait."""
        self._writer.write(self._sealer.seal(payload))

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
        answer = await reader.readexactly(cipher.HELLO_SIZE + cipher.PROOF_SIZE)
        proof, sealer, opener = knock.check(answer)
        writer.write(proof)
        return TcpCarrier(reader, writer, sealer, opener)
    except BaseException:  # also when cancelled
        await hang_up(writer)
        raise
