"""The boards kod knows, read from boards/NAME/board.toml, and what a partition table says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kod import reading
from kod.errors import BadInput

_HERE = Path(__file__).resolve().parent

# What esptool prints for a chip, and the number in the header of an image made for it
# (esp_image_header_t.chip_id of ESP-IDF).
CHIPS = {
    "esp32": ("ESP32", 0),
    "esp32s2": ("ESP32-S2", 2),
    "esp32c3": ("ESP32-C3", 5),
    "esp32s3": ("ESP32-S3", 9),
    "esp32c2": ("ESP32-C2", 12),
    "esp32c6": ("ESP32-C6", 13),
    "esp32h2": ("ESP32-H2", 16),
}
BLOCK = 4096  # the flash's erase unit, and littlefs's block
_LARGEST = 128 << 20  # the most that esptool knows


@dataclass(frozen=True)
class Partition:
    """One entry of a partition table; offset and size in bytes."""

    name: str
    type: str
    subtype: str
    offset: int
    size: int

    @property
    def end(self) -> int:
        return self.offset + self.size


@dataclass(frozen=True)
class Board:
    """What kod has to know of a board before it can write to it."""

    name: str
    vendor: str
    product: str
    chip: str
    default: bool
    flash_size: int
    psram: str
    boot_button: int | None
    led: str
    notes: str
    firmware_version: str
    firmware_file: str
    firmware_url: str
    firmware_sha256: str
    firmware_offset: int
    partitions: tuple[Partition, ...]
    vfs_name: str
    vfs_offset: int

    @property
    def chip_label(self) -> str:
        return CHIPS[self.chip][0]


def folder() -> Path:
    """Where the boards lie: beside kod when installed, else in the repository."""
    installed = _HERE.parent / "boards"
    return installed if installed.is_dir() else _HERE.parents[2] / "boards"


def all_boards() -> list[Board]:
    """Every board, the default of each chip first."""
    found = [read(path) for path in sorted(folder().glob("*/board.toml"))]
    return sorted(found, key=lambda board: (board.chip, not board.default, board.name))


def by_name(name: str) -> Board:
    """The board `name`, in any case."""
    known = all_boards()
    for board in known:
        if board.name.lower() == name.lower():
            return board
    raise BadInput(f"no board '{name}'; known: {', '.join(board.name for board in known)}")


def for_chip(chip: str) -> list[Board]:
    """The boards with that chip, the default one first."""
    return [board for board in all_boards() if board.chip == chip]


def read(path: Path) -> Board:
    """The board that `path`, a board.toml, describes."""
    try:
        value = reading.from_toml(path.read_text("utf-8"))
        return _board(value)
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: {error}") from None
    except (KeyError, TypeError) as error:
        raise BadInput(f"{path}: {error} is missing or of the wrong kind") from None


def _board(value: dict[str, Any]) -> Board:
    firmware, vfs = value["firmware"], value["vfs"]
    if value["chip"] not in CHIPS:
        raise ValueError(f"unknown chip '{value['chip']}'")
    return Board(
        name=value["name"],
        vendor=value["vendor"],
        product=value["product"],
        chip=value["chip"],
        default=value["default"],
        flash_size=size_in_bytes(value["flash_size"]),
        psram=value["psram"],
        boot_button=value.get("boot_button"),
        led=value.get("led", ""),
        notes=value.get("notes", ""),
        firmware_version=firmware["version"],
        firmware_file=firmware["file"],
        firmware_url=firmware["url"],
        firmware_sha256=firmware["sha256"],
        firmware_offset=firmware["offset"],
        partitions=tuple(Partition(**entry) for entry in firmware["partitions"]),
        vfs_name=vfs["name"],
        vfs_offset=vfs["offset"],
    )


def size_in_bytes(text: str) -> int:
    """`4MB` as bytes; sizes as esptool writes them."""
    match = re.fullmatch(r"([0-9]{1,6})(KB|MB)", text.upper())
    size = int(match[1]) << {"KB": 10, "MB": 20}[match[2]] if match else 0
    if not 0 < size <= _LARGEST:
        raise BadInput(f"'{text}' is no flash size up to {size_text(_LARGEST)}; write it as 4MB")
    return size


def size_text(size: int) -> str:
    """`size` bytes as esptool writes flash sizes."""
    return f"{size >> 20}MB" if size % (1 << 20) == 0 else f"{size >> 10}KB"


def vfs_of(partitions: tuple[Partition, ...], flash_size: int) -> Partition:
    """Where the firmware with that table keeps its file system on a flash of that size.

    A table may name it. If not, MicroPython (1.26 and newer) registers `vfs` at boot from the
    end of the last entry to the end of the flash. Raises ValueError when nothing is left.
    """
    for entry in partitions:
        if entry.name in ("vfs", "ffat"):
            if entry.end > flash_size:
                raise ValueError(f"partition '{entry.name}' ends past the flash")
            return entry
    start = max(entry.end for entry in partitions)
    if start + 16 * BLOCK > flash_size:
        raise ValueError(f"the firmware ends at {start:#x}: no room for a file system")
    return Partition("vfs", "data", "fat", start, flash_size - start)
