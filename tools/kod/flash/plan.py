"""What is written where: the firmware and the file system image, checked against each other."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from kod import config, library
from kod.errors import BadInput, UserError
from kod.flash import image
from kod.flash.boards import Board, Partition, size_text, vfs_of
from kod.flash.firmware import Firmware

PORT = 9190
_HEX_ID = re.compile(r"[0-9a-f]{12,32}")
_KEY = re.compile(r"[0-9a-f]{32}")
_SSID_BYTES = 32  # IEEE 802.11; a WPA passphrase has 8 to 63 characters, or is 64 hex digits
_SMALLEST_VFS = 512 * 1024  # the library takes about 330 KB of blocks, apps want the rest

HOST_ONLY = ("port/unix*", "port/*_host", "link/*_host")  # parts of the simulator and of kod

_FIRST = "amber brisk calm clever dapper eager fuzzy gentle happy jolly keen lucky mellow nimble"
_SECOND = "cedar comet ember fern finch heron lark maple meadow otter pebble quill robin willow"


@dataclass(frozen=True)
class Piece:
    """One region of the flash that is written."""

    name: str
    offset: int
    data: bytes

    @property
    def end(self) -> int:
        return self.offset + len(self.data)


@dataclass
class Plan:
    """All that a flashing does, before it does it."""

    board: Board
    firmware: Firmware
    flash_size: int
    vfs: Partition
    settings: dict[str, Any]
    image: bytes
    before: bytes | None = None  # the file system that --keep found
    erase: bool = False
    pieces: list[Piece] = field(default_factory=list)

    @property
    def known(self) -> config.Known:
        """How the device is remembered."""
        settings = self.settings
        return config.Known(
            id=settings["id"],
            name=settings["name"],
            key=settings["key"],
            port=settings["port"],
            chip=self.board.chip_label,
        )

    def lines(self) -> list[str]:
        """The plan for people. It never shows the key or a password."""
        firmware = self.firmware
        wifi = ", ".join(ssid for ssid, _ in self.settings["wifi"]) or "none"
        version = f"MicroPython {firmware.version}" if firmware.version else "unknown version"
        state = {"unknown": "hash unknown", "checked": "hash checked"}.get(
            firmware.hash_state, firmware.hash_state
        )
        text = [
            f"board     {self.board.name} ({self.board.product}), {self.board.chip_label}, "
            f"{size_text(self.flash_size)} of flash",
            f"firmware  {firmware.source} ({version}, {state}: sha256 {firmware.sha256[:16]}...)",
            f"device    {self.settings['name']}, id {self.settings['id']}, Wi-Fi: {wifi}",
            f"vfs       {self.vfs.offset:#08x} to {self.vfs.end:#08x}, littlefs, "
            f"{self.vfs.size // image.BLOCK} blocks, {image.free(self.image) >> 10} KB free",
        ]
        if self.erase:
            text.append("erase     the whole flash first")
        for piece in self.pieces:
            text.append(
                f"write     {piece.offset:#08x} to {piece.end:#08x}  {piece.name} "
                f"({len(piece.data)} bytes)"
            )
        return text

    def as_json(self) -> dict[str, Any]:
        """The plan for machines, without secrets."""
        return {
            "board": self.board.name,
            "chip": self.board.chip,
            "flash_size": self.flash_size,
            "erase": self.erase,
            "keep": self.before is not None,
            "firmware": {
                "source": self.firmware.source,
                "version": self.firmware.version,
                "sha256": self.firmware.sha256,
                "hash": self.firmware.hash_state,
                "offset": self.firmware.offset,
                "size": len(self.firmware.data),
            },
            "vfs": {"offset": self.vfs.offset, "size": self.vfs.size, "block_size": image.BLOCK},
            "device": {
                "name": self.settings["name"],
                "id": self.settings["id"],
                "wifi": [ssid for ssid, _ in self.settings["wifi"]],
            },
            "write": [
                {"name": piece.name, "offset": piece.offset, "size": len(piece.data)}
                for piece in self.pieces
            ],
        }


def device_files(platform: str = "esp32") -> dict[str, bytes]:
    """The library, boot.py and main.py as they lie on a device; all of it on a simulated one."""
    if platform != "esp32":
        return library.files()
    return {path: data for path, data in library.files().items() if not is_host_only(path)}


def is_host_only(path: str) -> bool:
    """Whether a file of the library (by its path on the flash) is never used on a board."""
    name = path.removeprefix("lib/kodkod/").rpartition(".")[0]
    return any(fnmatch(name, pattern) for pattern in HOST_ONLY)


def new_settings(name: str | None, wifi: list[list[str]]) -> dict[str, Any]:
    """Settings of a new device: its id and its key are random."""
    identity = secrets.token_hex(6)
    return checked_settings(
        {
            "name": name or name_of(identity),
            "id": identity,
            "key": secrets.token_hex(16),
            "port": PORT,
            "wifi": wifi,
        }
    )


def name_of(identity: str) -> str:
    """A name for people, derived from an id, so that two boards rarely share one."""
    number = int(identity, 16)
    first, second = _FIRST.split(), _SECOND.split()
    return f"{first[number % len(first)]}-{second[number // len(first) % len(second)]}"


def checked_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """`settings` when every value is one that a device can use."""
    config.check_name(settings.get("name"))
    if not _HEX_ID.fullmatch(str(settings.get("id"))):
        raise BadInput(f"the device's id '{settings.get('id')}' is not 12 or more hex digits")
    if not _KEY.fullmatch(str(settings.get("key"))):
        raise BadInput("the device's key is not 32 hex digits")
    if not config.is_port(settings.get("port", PORT)):
        raise BadInput("the device's port is not a number up to 65535")
    for ssid, password in settings.get("wifi", []):
        check_wifi(ssid, password)
    return settings


def check_wifi(ssid: str, password: str) -> None:
    """BadInput for a network that no Wi-Fi could have."""
    if not 1 <= len(ssid.encode()) <= _SSID_BYTES:
        raise BadInput(f"'{ssid}' cannot name a Wi-Fi network: 1 to {_SSID_BYTES} bytes")
    hexadecimal = len(password) == 64 and re.fullmatch(r"[0-9a-fA-F]+", password)
    if password and not hexadecimal and not 8 <= len(password.encode()) <= 63:
        raise BadInput(
            f"the password of '{ssid}' must have 8 to 63 characters; of a network that has none "
            "say so (kod flash: --wifi-open, kod config wifi: --open)"
        )


def settings_file(settings: dict[str, Any]) -> bytes:
    """/kodkod.json as the device reads it."""
    # As UTF-8: MicroPython makes two characters of the pair that an escaped emoji would be.
    return json.dumps(settings, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def make(
    board: Board,
    firmware: Firmware,
    flash_size: int,
    settings: dict[str, Any],
    *,
    before: bytes | None = None,
    erase: bool = False,
) -> Plan:
    """The plan; `before` is the file system to keep. Raises UserError when it cannot be."""
    try:
        vfs = vfs_of(firmware.partitions, flash_size)
    except ValueError as error:
        raise UserError(
            f"this board's flash ({size_text(flash_size)}) is too small for {board.name}: {error}"
        ) from None
    if vfs.size < _SMALLEST_VFS:
        raise UserError(
            f"this board's flash ({size_text(flash_size)}) is too small for {board.name}: "
            f"{vfs.size >> 10} KB would be left for files, {_SMALLEST_VFS >> 10} KB are needed"
        )
    files = {**device_files(), "kodkod.json": settings_file(settings)}
    if before is None:
        content = image.build(files, vfs.size)
        changed = image.runs(content)
    else:
        content = image.update(before, files, remove=("lib/kodkod",))
        changed = image.runs(content, before)
    plan = Plan(board, firmware, flash_size, vfs, settings, content, before, erase)
    plan.pieces.append(Piece("firmware", firmware.offset, firmware.data))
    for number, (offset, data) in enumerate(changed):
        name = "littlefs" if number == 0 else f"littlefs-{number + 1}"
        plan.pieces.append(Piece(name, vfs.offset + offset, data))
    _check(plan)
    return plan


def _check(plan: Plan) -> None:
    """Nothing overlaps and all of it is on the flash: a bug of a board.toml if not."""
    last = 0
    for piece in sorted(plan.pieces, key=lambda piece: piece.offset):
        if piece.offset < last or piece.end > plan.flash_size:
            raise UserError(
                f"{piece.name} at {piece.offset:#x} to {piece.end:#x} overlaps another region or "
                f"ends past the flash ({size_text(plan.flash_size)}); the firmware does not fit "
                "this board"
            )
        last = piece.end


def save(plan: Plan, folder: Path) -> list[Path]:
    """Writes firmware.bin, littlefs.bin (the whole partition) and plan.json into `folder`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / "firmware.bin", folder / "littlefs.bin", folder / "plan.json"]
        paths[0].write_bytes(plan.firmware.data)
        paths[1].touch(mode=0o600)  # it holds the device's key
        paths[1].chmod(0o600)
        paths[1].write_bytes(plan.image)
        paths[2].write_text(json.dumps(plan.as_json(), indent=1) + "\n")
    except OSError as error:
        raise BadInput(f"{folder} cannot be written: {error.strerror}") from None
    return paths
