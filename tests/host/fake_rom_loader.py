"""A stand-in for an ESP32 behind a serial port: the ROM loader as far as esptool needs it.

It is no emulator: it keeps a flash, answers the loader's commands (SLIP frames), pretends to run
the stub that esptool uploads, follows the DTR and RTS lines into and out of download mode, and
prints what it was told to print when it "boots". Faults can be asked for by name.
"""

from __future__ import annotations

import contextlib
import hashlib
import select
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable

from serial.rfc2217 import PortManager

SYNC, READ_REG, WRITE_REG = 0x08, 0x0A, 0x09
FLASH_BEGIN, FLASH_DATA, FLASH_END = 0x02, 0x03, 0x04
MEM_BEGIN, MEM_END, MEM_DATA = 0x05, 0x06, 0x07
SET_PARAMS, ATTACH, READ_SLOW, BAUD = 0x0B, 0x0D, 0x0E, 0x0F
DEFL_BEGIN, DEFL_DATA, DEFL_END, MD5 = 0x10, 0x11, 0x12, 0x13
SECURITY_INFO, ERASE_ALL, ERASE_REGION, READ_FLASH = 0x14, 0xD0, 0xD1, 0xD2
NAMES = {value: name for name, value in list(globals().items()) if type(value) is int}

_SECTOR = 4096
_SPI = 0x3FF42000  # SPI1 of the ESP32: how esptool asks the flash chip for its id
_CMD, _USR2, _W0 = _SPI, _SPI + 0x24, _SPI + 0x80
_MAGIC_REG, _MAGIC = 0x40001000, 0x00F01D83
_BOOT_S = 1.0  # until a program says its first word; who has not opened the port misses it
_EFUSE = 0x3FF5A000
_UART_DIV = 0x3FF40014


class FakeEsp32:
    """The chip: feed it bytes and line changes, it answers through `send`."""

    def __init__(self, flash_size: int = 4 << 20) -> None:
        self.flash = bytearray(b"\xff" * flash_size)
        self.mode = "rom"  # app, rom, stub
        self.calls: list[str] = []
        self.deaf = False
        self.corrupts = False
        self.fails_at: str | None = None
        self.resets_by_itself = True
        self.boots: Callable[[FakeEsp32], bytes] = lambda chip: b""
        self.send: Callable[[bytes], None] = lambda data: None
        self.baudrate, self.bytesize, self.parity, self.stopbits = 115200, 8, "N", 1
        self.xonxoff = self.rtscts = self.dsrdtr = False
        self.cts = self.dsr = self.ri = self.cd = False
        self.break_condition = False
        self._dtr = self._rts = False
        self._held = False
        self._boots_at = 0.0
        self._frame: bytearray | None = None
        self._registers = {_MAGIC_REG: _MAGIC, _EFUSE + 4: 0x11223344, _EFUSE + 8: 0x24}
        self._registers[_UART_DIV] = 40_000_000 // 115200
        self._writing: tuple[int, object] = (0, None)
        self._reading: list[bytes] = []

    # --- lines -------------------------------------------------------------------------------

    @property
    def dtr(self) -> bool:
        return self._dtr

    @dtr.setter
    def dtr(self, value: bool) -> None:
        self._change(value, self._rts)

    @property
    def rts(self) -> bool:
        return self._rts

    @rts.setter
    def rts(self, value: bool) -> None:
        self._change(self._dtr, value)

    def _change(self, dtr: bool, rts: bool) -> None:
        """RTS holds EN low until it is released; DTR is the boot pin at that moment.

        A real circuit also lets EN go when both are set; over rfc2217:// the lines change 50 ms
        apart, so servers for boards keep EN low until RTS is released, as this does.
        """
        self._dtr, rts_before, self._rts = dtr, self._rts, rts
        if rts and not dtr:
            self._held = True
        elif rts_before and not rts and self._held:
            self._held = False
            if self.resets_by_itself:
                self.boot(download=dtr)

    def reset_input_buffer(self) -> None:
        pass

    def reset_output_buffer(self) -> None:
        pass

    def boot(self, download: bool = False) -> None:
        """What the EN button does; `download` with BOOT held."""
        self.mode, self._frame = ("rom" if download else "app"), None
        self.calls.append("boot " + self.mode)
        self._boots_at = 0.0 if download else time.monotonic() + _BOOT_S

    def tick(self) -> None:
        """Says what a start says, when it is time."""
        if self._boots_at and time.monotonic() >= self._boots_at:
            self._boots_at = 0.0
            self.send(self.boots(self))

    # --- frames ------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        if self.mode == "app" or self.deaf:
            return
        for byte in data:
            if byte == 0xC0:
                if self._frame:
                    frame = bytes(self._frame)
                    frame = frame.replace(b"\xdb\xdc", b"\xc0").replace(b"\xdb\xdd", b"\xdb")
                    self._frame = None
                    self._received(frame)
                else:
                    self._frame = bytearray()
            elif self._frame is not None:
                self._frame.append(byte)

    def _slip(self, frame: bytes) -> None:
        escaped = frame.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc")
        self.send(b"\xc0" + escaped + b"\xc0")

    def _received(self, frame: bytes) -> None:
        if self._reading and len(frame) == 4:  # the host acknowledges a frame of READ_FLASH
            self._slip(self._reading.pop(0))
            return
        if len(frame) < 8:
            return
        _, op, size, checksum = struct.unpack_from("<BBHI", frame)
        data = frame[8 : 8 + size]
        if op != READ_REG and op != WRITE_REG and op != SYNC:
            self.calls.append(NAMES.get(op, hex(op)))
        carries = op in (DEFL_DATA, FLASH_DATA, MEM_DATA)
        broken = carries and checksum != _checksum(data[16:])
        if broken or self.fails_at == NAMES.get(op):
            self._answer(op, error=7)
        else:
            self._do(op, data)

    def _answer(self, op: int, value: int = 0, data: bytes = b"", error: int = 0) -> None:
        status = bytes([1 if error else 0, error]) + (b"" if self.mode == "stub" else b"\0\0")
        self._slip(struct.pack("<BBHI", 1, op, len(data + status), value) + data + status)

    # --- commands ----------------------------------------------------------------------------

    def _do(self, op: int, data: bytes) -> None:
        if op == SYNC:
            for _ in range(8):
                self._answer(op, 0 if self.mode == "stub" else 0x20120707)
        elif op == READ_REG:
            self._answer(op, self._registers.get(struct.unpack("<I", data)[0], 0))
        elif op == WRITE_REG:
            self._write_register(*struct.unpack_from("<II", data))
            self._answer(op)
        elif op == SECURITY_INFO:  # an ESP32 has no such command
            self._answer(op if self.mode == "stub" else 0, error=5)
        elif op == MEM_END:
            self._answer(op)
            if struct.unpack_from("<II", data)[1]:
                self.mode = "stub"
                self._slip(b"OHAI")
        elif op in (FLASH_BEGIN, DEFL_BEGIN):
            size, _, _, offset = struct.unpack_from("<IIII", data)
            self._erase(offset, size)
            self._writing = (offset, zlib.decompressobj() if op == DEFL_BEGIN else None)
            self._answer(op)
        elif op in (FLASH_DATA, DEFL_DATA):
            self._write(data[16 : 16 + struct.unpack_from("<I", data)[0]])
            self._answer(op)
        elif op in (FLASH_END, DEFL_END):
            self._answer(op)
            if struct.unpack_from("<I", data)[0] == 0 and self.mode == "stub":
                self.mode = "rom"
        elif op == MD5:
            offset, size = struct.unpack_from("<II", data)
            digest = hashlib.md5(self.flash[offset : offset + size])
            hexadecimal = digest.hexdigest().encode()
            self._answer(op, data=digest.digest() if self.mode == "stub" else hexadecimal)
        elif op == ERASE_ALL:
            self._erase(0, len(self.flash))
            self._answer(op)
        elif op == ERASE_REGION:
            self._erase(*struct.unpack_from("<II", data))
            self._answer(op)
        elif op == READ_SLOW:
            offset, size = struct.unpack_from("<II", data)
            self._answer(op, data=bytes(self.flash[offset : offset + size]).ljust(64, b"\0"))
        elif op == READ_FLASH:
            self._read(*struct.unpack_from("<III", data))
        else:  # MEM_BEGIN, MEM_DATA, SET_PARAMS, ATTACH, BAUD
            self._answer(op)

    def _write_register(self, address: int, value: int) -> None:
        self._registers[address] = value
        if address == _CMD:
            command = self._registers.get(_USR2, 0) & 0xFF
            answer = 0
            if command == 0x9F:  # RDID: Winbond, and the size as a power of two
                answer = 0x0040EF | (len(self.flash).bit_length() - 1) << 16
            elif command == 0x5A:  # RDSFDP
                answer = 0x50444653
            self._registers[_W0] = answer
            self._registers[_CMD] = 0

    def _erase(self, offset: int, size: int) -> None:
        end = min(-(-(offset + size) // _SECTOR) * _SECTOR, len(self.flash))
        self.flash[offset:end] = b"\xff" * (end - offset)

    def _write(self, data: bytes) -> None:
        offset, unpacker = self._writing
        if unpacker is not None:
            data = unpacker.decompress(data)  # type: ignore[attr-defined]
        if self.corrupts and data:
            data = bytes([data[0] ^ 1]) + data[1:]
        self.flash[offset : offset + len(data)] = data
        self._writing = (offset + len(data), unpacker)

    def _read(self, offset: int, size: int, block: int) -> None:
        data = bytes(self.flash[offset : offset + size])
        self._answer(READ_FLASH)
        frames = [data[at : at + block] for at in range(0, size, block)]
        self._reading = [*frames[1:], hashlib.md5(data).digest()]
        self._slip(frames[0])


def _checksum(data: bytes) -> int:
    state = 0xEF
    for byte in data:
        state ^= byte
    return state


class FakePort:
    """Serves a FakeEsp32 at `url` until closed: as rfc2217://, whose lines reset it, or as
    socket://, which has no lines (and which pyserial drives ten times as fast)."""

    def __init__(self, chip: FakeEsp32, lines: bool = False) -> None:
        self.chip, self._lines = chip, lines
        self._listener = socket.create_server(("127.0.0.1", 0))
        scheme = "rfc2217" if lines else "socket"
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._ends = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> FakePort:
        return self

    def __exit__(self, *_: object) -> None:
        self._ends = True
        self._thread.join(5)
        self._listener.close()

    def _serve(self) -> None:
        while not self._ends:
            self.chip.tick()
            if select.select([self._listener], [], [], 0.05)[0]:
                connection, _ = self._listener.accept()
                with connection, contextlib.suppress(OSError):
                    self._connected(connection)
                self.chip.send = lambda data: None

    def _connected(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        manager = PortManager(self.chip, _Out(connection)) if self._lines else None
        if manager:
            self.chip.send = lambda data: connection.sendall(b"".join(manager.escape(data)))
        else:
            self.chip.send = connection.sendall
        while not self._ends:
            self.chip.tick()
            if select.select([connection], [], [], 0.05)[0]:
                data = connection.recv(65536)
                if hasattr(socket, "TCP_QUICKACK"):  # pyserial's end waits for it
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
                if not data:
                    return
                self.chip.feed(b"".join(manager.filter(data)) if manager else data)


class _Out:
    def __init__(self, connection: socket.socket) -> None:
        self.write = connection.sendall
