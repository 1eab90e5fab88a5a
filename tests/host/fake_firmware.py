"""A firmware file that holds no program, but all that esptool and kod read of one.

Boot loader and application are valid images (header, one segment, checksum, SHA-256) that would
do nothing on a chip; the partition table is the one that the board's board.toml tells of.
"""

from __future__ import annotations

import hashlib
import struct

from kod.flash.boards import CHIPS, Board, Partition

_RAM = {  # an address in the RAM of each chip, where a segment may lie
    "esp32": 0x3FFB0000,
    "esp32s2": 0x3FFB0000,
    "esp32c3": 0x3FC80000,
    "esp32s3": 0x3FC88000,
    "esp32c2": 0x3FCA0000,
    "esp32c6": 0x40800000,
    "esp32h2": 0x40800000,
}
_TYPES = {"app": 0, "data": 1}
_SUBTYPES = {"factory": 0, "nvs": 2, "phy": 1, "ota": 0, "fat": 0x81}


def image(chip: str, text: bytes) -> bytes:
    """One valid ESP32 image whose only segment is `text`."""
    text += b"\0" * (-len(text) % 4)
    header = struct.pack("<BBBBI", 0xE9, 1, 2, 0x20, _RAM[chip])
    header += struct.pack("<BBBBHBHHIB", 0xEE, 0, 0, 0, CHIPS[chip][1], 0, 0, 0xFFFF, 0, 1)
    body = header + struct.pack("<II", _RAM[chip], len(text)) + text
    checksum = 0xEF
    for byte in text:
        checksum ^= byte
    body += b"\0" * (15 - len(body) % 16) + bytes([checksum])
    return body + hashlib.sha256(body).digest()


def table(partitions: tuple[Partition, ...]) -> bytes:
    """The partition table as ESP-IDF's gen_esp32part.py makes it."""
    entries = b""
    for entry in partitions:
        number = _SUBTYPES.get(entry.subtype)
        if number is None:
            number = 0x10 + int(entry.subtype.removeprefix("ota_"))
        entries += struct.pack(
            "<2sBBII16sI",
            b"\xaa\x50",
            _TYPES[entry.type],
            number,
            entry.offset,
            entry.size,
            entry.name.encode(),
            0,
        )
    entries += b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(entries).digest()
    return entries + b"\xff" * (0xC00 - len(entries))


def firmware(
    chip: str,
    partitions: tuple[Partition, ...],
    version: str = "1.26.1",
    size: int = 40_000,
) -> bytes:
    """A combined image as micropython.org offers it for `chip`."""
    offset = 0x1000 if chip in ("esp32", "esp32s2") else 0
    app = next(entry for entry in partitions if entry.type == "app")
    banner = f"MicroPython v{version} on 2025-09-11; Generic {chip}".encode()
    filling = hashlib.sha256(banner).digest() * (size // 32)  # what does not compress to nothing
    data = image(chip, b"boot loader")
    data += b"\xff" * (0x8000 - offset - len(data)) + table(partitions)
    data += b"\xff" * (app.offset - offset - len(data)) + image(chip, banner + filling)
    return data


def for_board(board: Board) -> bytes:
    return firmware(board.chip, board.partitions)
