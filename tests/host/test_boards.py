"""Every board.toml: complete, consistent with MicroPython's partition tables, known to esptool."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from kod.errors import BadInput
from kod.flash import boards
from kod.flash.boards import BLOCK, Partition

BOARDS = boards.all_boards()
IDS = [board.name for board in BOARDS]

# ports/esp32/partitions-4MiBplus.csv and partitions-4MiB-ota.csv of MicroPython 1.26
PLAIN = {"nvs": (0x9000, 0x6000), "phy_init": (0xF000, 0x1000), "factory": (0x10000, 0x1F0000)}
OTA = {
    "nvs": (0x9000, 0x4000),
    "otadata": (0xD000, 0x2000),
    "phy_init": (0xF000, 0x1000),
    "ota_0": (0x10000, 0x180000),
    "ota_1": (0x190000, 0x180000),
}


def test_the_boards_that_were_promised_are_there() -> None:
    generic = {"ESP32_GENERIC", "ESP32_GENERIC-SPIRAM", "ESP32_GENERIC-OTA"}
    generic |= {"ESP32_GENERIC_C3", "ESP32_GENERIC_S3", "ESP32_GENERIC_C6"}
    assert generic <= set(IDS)
    assert len({board.vendor for board in BOARDS} - {"Espressif"}) >= 3


@pytest.mark.parametrize("board", BOARDS, ids=IDS)
def test_the_folder_and_the_firmware_file_carry_the_boards_name(board: boards.Board) -> None:
    assert (boards.folder() / board.name / "board.toml").is_file()
    assert re.fullmatch(
        rf"{board.name}-\d{{8}}-v{re.escape(board.firmware_version)}\.bin", board.firmware_file
    )
    assert board.firmware_url == (
        f"https://micropython.org/resources/firmware/{board.firmware_file}"
    )
    assert tuple(int(part) for part in board.firmware_version.split(".")) >= (1, 26)
    assert re.fullmatch(r"([0-9a-f]{64})?", board.firmware_sha256)


@pytest.mark.parametrize("board", BOARDS, ids=IDS)
def test_the_partition_table_is_micropythons(board: boards.Board) -> None:
    table = {entry.name: (entry.offset, entry.size) for entry in board.partitions}
    assert table == (OTA if board.name.endswith("-OTA") else PLAIN)


@pytest.mark.parametrize("board", BOARDS, ids=IDS)
def test_partitions_do_not_overlap_and_fit_the_flash(board: boards.Board) -> None:
    vfs = boards.vfs_of(board.partitions, board.flash_size)
    last = 0x9000  # boot loader and table end there
    for entry in (*board.partitions, vfs):
        assert entry.offset == last
        assert entry.offset % BLOCK == 0
        assert entry.size % BLOCK == 0
        assert entry.type != "app" or entry.offset % 0x10000 == 0
        last = entry.end
    assert last == board.flash_size


@pytest.mark.parametrize("board", BOARDS, ids=IDS)
def test_the_file_system_is_where_the_board_says(board: boards.Board) -> None:
    vfs = boards.vfs_of(board.partitions, board.flash_size)
    assert (vfs.name, vfs.offset) == (board.vfs_name, board.vfs_offset)
    assert board.vfs_offset == (0x310000 if board.name.endswith("-OTA") else 0x200000)


@pytest.mark.parametrize("board", BOARDS, ids=IDS)
def test_the_boot_loader_is_where_the_chip_looks_for_it(board: boards.Board) -> None:
    assert board.firmware_offset == (0x1000 if board.chip == "esp32" else 0)


def test_each_chip_has_one_default_board() -> None:
    for chip in {board.chip for board in BOARDS}:
        choices = boards.for_chip(chip)
        assert [board.default for board in choices] == [True] + [False] * (len(choices) - 1)


def test_esptool_knows_every_chip() -> None:
    text = subprocess.run(
        [sys.executable, "-m", "esptool", "--chip", "no-such-chip", "version"],
        capture_output=True,
        text=True,
        check=False,
        env={"COLUMNS": "300", "NO_COLOR": "1"},
    ).stderr
    for chip in boards.CHIPS:
        assert f"'{chip}'" in text


@pytest.mark.parametrize(
    ("size", "blocks"), [(4, 512), (8, 1536), (16, 3584)], ids=["4MB", "8MB", "16MB"]
)
def test_a_larger_flash_gives_a_larger_file_system(size: int, blocks: int) -> None:
    vfs = boards.vfs_of(boards.by_name("ESP32_GENERIC").partitions, size << 20)
    assert (vfs.offset, vfs.size) == (0x200000, blocks * BLOCK)


def test_a_table_that_names_its_file_system_is_believed() -> None:
    named = Partition("vfs", "data", "fat", 0x310000, 0xF0000)
    table = (Partition("factory", "app", "factory", 0x10000, 0x300000), named)
    assert boards.vfs_of(table, 4 << 20) == named
    with pytest.raises(ValueError, match="past the flash"):
        boards.vfs_of(table, 2 << 20)


def test_no_room_for_files_is_said() -> None:
    with pytest.raises(ValueError, match="no room"):
        boards.vfs_of(boards.by_name("ESP32_GENERIC").partitions, 2 << 20)


def test_a_board_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(BadInput, match=r"no board 'ESP8266'.*ESP32_GENERIC"):
        boards.by_name("ESP8266")
    assert boards.by_name("esp32_generic-ota").name == "ESP32_GENERIC-OTA"


@pytest.mark.parametrize(
    "text",
    ["", "name = ", 'name = "X"', 'chip = "esp32"\nname = "X"'],
    ids=["empty", "no TOML", "half", "lacks firmware"],
)
def test_a_broken_board_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "board.toml"
    path.write_text(text)
    with pytest.raises(BadInput, match=re.escape(str(path))):
        boards.read(path)


def test_an_unknown_chip_in_a_board_file_is_named(tmp_path: Path) -> None:
    text = (boards.folder() / "ESP32_GENERIC" / "board.toml").read_text()
    path = tmp_path / "board.toml"
    path.write_text(text.replace('chip = "esp32"', 'chip = "esp99"'))
    with pytest.raises(BadInput, match="esp99"):
        boards.read(path)


def test_sizes_read_and_write_as_esptools() -> None:
    for text, size in (("4MB", 4 << 20), ("512KB", 512 << 10), ("16mb", 16 << 20)):
        assert boards.size_in_bytes(text) == size
        assert boards.size_text(size) == text.upper()
    with pytest.raises(BadInput):
        boards.size_in_bytes("4 megabytes")
