"""The MicroPython firmware: from a file, the cache or a URL, and what is in it."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import re
import struct
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

from kod import config, reading
from kod.errors import BadInput, Unreachable, UserError
from kod.flash.boards import CHIPS, Board, Partition

_IMAGE_MAGIC = 0xE9
_TABLE_ADDRESS = 0x8000
_TABLE_SIZE = 0xC00
_ENTRY_MAGIC = b"\xaa\x50"
_TYPES = {0: "app", 1: "data"}
_SUBTYPES = {
    ("app", 0x00): "factory",
    ("data", 0x00): "ota",
    ("data", 0x01): "phy",
    ("data", 0x02): "nvs",
    ("data", 0x81): "fat",
    ("data", 0x82): "spiffs",
    ("data", 0x83): "littlefs",
}
_TIMEOUT_S = 30
_HEADER = 24  # bytes of esp_image_header_t; the last says whether a SHA-256 follows the program


@dataclass(frozen=True)
class Firmware:
    """A combined image (boot loader, partition table, MicroPython) and where it belongs."""

    data: bytes
    source: str
    chip: str
    offset: int
    partitions: tuple[Partition, ...]
    version: str
    hash_state: str  # "checked", "unknown", "given by file"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def load(
    board: Board, source: str | None, say: Callable[[str], None] = lambda text: None
) -> Firmware:
    """The firmware for `board`: the file or URL named, else the cache, else the board's URL."""
    if source is None:
        data, where, state = _of_board(board, say)
    elif re.match(r"https?://", source):
        data, where, state = _download(source, say), source, "unknown"
    else:
        data, where, state = _from_file(source), source, "given by file"
    firmware = parse(data, where, state)
    if firmware.chip != board.chip:
        raise BadInput(
            f"{_short(where)} is for {CHIPS[firmware.chip][0]}, the board {board.name} has "
            f"{board.chip_label}; give the firmware of that chip, or another --board"
        )
    return firmware


def chip_of(source: str) -> str | None:
    """The chip that a firmware file is for; None for a URL, which nobody has read yet."""
    if re.match(r"https?://", source):
        return None
    return parse(_from_file(source), source, "").chip


def parse(data: bytes, source: str, hash_state: str) -> Firmware:
    """What a combined image says of itself; BadInput when it is none."""
    name = _short(source)
    if data[:4] == b"UF2\n":
        raise BadInput(f"{name} is a UF2 file; download the .bin of the same firmware")
    if len(data) < 32 or data[0] != _IMAGE_MAGIC:
        raise BadInput(f"{name} is no ESP32 firmware (its first byte is not 0xe9)")
    number = struct.unpack_from("<H", data, 12)[0]
    chip = next((key for key, (_, known) in CHIPS.items() if known == number), None)
    if chip is None:
        raise BadInput(f"{name} is for an unknown chip (number {number})")
    offset = 0x1000 if chip in ("esp32", "esp32s2") else 0
    partitions = parse_table(data[_TABLE_ADDRESS - offset : _TABLE_ADDRESS - offset + _TABLE_SIZE])
    if not partitions:
        raise BadInput(
            f"{name} has no partition table at {_TABLE_ADDRESS - offset:#x}: it is no complete "
            "image; of MicroPython's files take the .bin, not the .app-bin"
        )
    end = max(entry.end for entry in partitions if entry.type == "app")
    if offset + len(data) > end:
        raise BadInput(f"{name} is longer than its own partitions; is it cut or padded?")
    first = min(entry.offset for entry in partitions if entry.type == "app")
    wrong = _wrong_with(data[first - offset :])
    if wrong:
        raise BadInput(f"{name} is {wrong}: download it again")
    return Firmware(data, source, chip, offset, partitions, _version(data), hash_state)


def _wrong_with(program: bytes) -> str:
    """What is wrong with a program's image (as esptool's elf2image makes it); "" if nothing."""
    if len(program) < _HEADER:
        return "cut, before its program begins"
    if program[0] != _IMAGE_MAGIC:
        return "damaged, where its program should begin"
    at = _HEADER
    for _ in range(program[1]):  # segments: address, size, content
        at += 8 + int.from_bytes(program[at + 4 : at + 8], "little")
    at = (at | 15) + 1  # a checksum is the last of 16 bytes
    has_hash = program[_HEADER - 1] == 1
    if at + (32 if has_hash else 0) > len(program):
        return "cut, in the middle of its program"
    if has_hash and hashlib.sha256(program[:at]).digest() != program[at : at + 32]:
        return "damaged (its own SHA-256 differs)"
    return ""


def parse_table(table: bytes) -> tuple[Partition, ...]:
    """The entries of a partition table as it lies at 0x8000; none when there is none."""
    found = []
    for at in range(0, len(table) - 31, 32):
        if table[at : at + 2] != _ENTRY_MAGIC:
            break
        kind, sub, offset, size = struct.unpack_from("<BBII", table, at + 2)
        name = table[at + 12 : at + 28].split(b"\0")[0].decode("ascii", "replace")
        family = _TYPES.get(kind, f"{kind:#x}")
        if family == "app" and 0x10 <= sub < 0x20:
            subtype = f"ota_{sub - 0x10}"
        else:
            subtype = _SUBTYPES.get((family, sub), f"{sub:#x}")
        found.append(Partition(name, family, subtype, offset, size))
    return tuple(found)


def _version(data: bytes) -> str:
    """MicroPython's version, from the text its prompt shows; empty when there is none."""
    found = re.search(rb"v(\d+\.\d+\.\d+(?:-[a-z]+[.\w-]*)?) on \d{4}-\d\d-\d\d", data)
    return found.group(1).decode() if found else ""


def _from_file(source: str) -> bytes:
    try:
        return reading.content(reading.expanded(source))
    except FileNotFoundError:
        raise BadInput(f"no firmware file {source}") from None
    except OSError as error:
        raise BadInput(f"firmware file {source} cannot be read: {error.strerror}") from None


def _of_board(board: Board, say: Callable[[str], None]) -> tuple[bytes, str, str]:
    path = config.cache("firmware") / board.firmware_file
    if path.is_file():
        data = path.read_bytes()
        why = _why_not(data, board)
        if not why:
            return data, str(path), "checked" if board.firmware_sha256 else "unknown"
        path.unlink()
        say(f"{path} {why}: fetched again")
    data = _download(board.firmware_url, say)
    digest = hashlib.sha256(data).hexdigest()
    if board.firmware_sha256 and digest != board.firmware_sha256:
        raise UserError(
            f"{board.firmware_url} has the hash {digest}, not the one in {board.name}'s "
            "board.toml; nothing was written. Try again, or give a file you trust by --firmware"
        )
    parse(data, board.firmware_url, "")  # an error page must not get into the cache
    with contextlib.suppress(OSError):  # then it is fetched again the next time
        config.keep(config.cache("firmware") / board.firmware_file, data)
    return data, board.firmware_url, "checked" if board.firmware_sha256 else "unknown"


def _why_not(kept: bytes, board: Board) -> str:
    """Why what the cache has is not used; "" when it is."""
    if board.firmware_sha256 and hashlib.sha256(kept).hexdigest() != board.firmware_sha256:
        return f"has another hash than {board.name}'s board.toml says"
    try:
        parse(kept, board.firmware_file, "")
    except BadInput:
        return "is damaged"
    return ""


def _download(url: str, say: Callable[[str], None]) -> bytes:
    say(f"downloading {url}")
    request = urllib.request.Request(url, headers={"User-Agent": "kod"})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
            data: bytes = answer.read()
    except urllib.error.HTTPError as error:
        raise UserError(
            f"{url} answers {error.code} {error.reason}; download the firmware yourself and "
            "give it by --firmware FILE"
        ) from None
    except http.client.IncompleteRead:
        raise Unreachable(f"{url} broke off; try again") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise Unreachable(
            f"{url} cannot be fetched: {reason}; without a network give --firmware FILE"
        ) from None
    return data


def _short(source: str) -> str:
    return source.rsplit("/", 1)[-1]
