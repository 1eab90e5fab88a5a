"""What kod flash writes: images that esptool, littlefs and MicroPython itself accept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import fake_firmware
import pytest
from interpreter import micropython
from kod.errors import UserError
from kod.flash import boards, firmware, image, plan
from kod.flash.boards import BLOCK

BOARDS = boards.all_boards()
IDS = [board.name for board in BOARDS]
FILES = {"main.py": b"print(1)\n", "lib/kodkod/a.mpy": b"M\x06" * 3000, "kodkod.json": b"{}"}
SETTINGS = {"name": "desk", "id": "0123456789ab", "key": "00" * 16, "port": 9190, "wifi": []}

# Runs in the unix port of MicroPython: mounts an image as a device does and hashes what is in it.
MOUNT = """
import os, sys, vfs, hashlib, binascii
class Flash:
    def __init__(self, path, size):
        with open(path, "rb") as file:
            self.data = bytearray(file.read())
        self.size = size
    def readblocks(self, block, buffer, offset=0):
        at = block * 4096 + offset
        buffer[:] = self.data[at : at + len(buffer)]
    def writeblocks(self, block, buffer, offset=None):
        if offset is None:
            offset = 0
        at = block * 4096 + offset
        self.data[at : at + len(buffer)] = buffer
    def ioctl(self, command, value):
        if command == 4:
            return self.size // 4096
        if command == 5:
            return 4096
        if command == 6:
            self.data[value * 4096 : (value + 1) * 4096] = b"\\xff" * 4096
            return 0
        return 0
vfs.mount(vfs.VfsLfs2(Flash(sys.argv[1], int(sys.argv[2]))), "/flash")
def show(folder):
    for name, kind, *_ in os.ilistdir(folder):
        path = folder + "/" + name
        if kind == 0x4000:
            show(path)
        else:
            with open(path, "rb") as file:
                print(path, binascii.hexlify(hashlib.sha256(file.read()).digest()).decode())
show("/flash")
with open("/flash/written", "w") as file:
    file.write("by the device")
with open("/flash/written") as file:
    assert file.read() == "by the device"
"""


def mounted(tmp_path: Path, content: bytes) -> dict[str, str]:
    """The files that MicroPython sees in an image, with their SHA-256."""
    script, data = tmp_path / "mount.py", tmp_path / "image.bin"
    script.write_text(MOUNT)
    data.write_bytes(content)
    done = subprocess.run(
        [*micropython(), "-X", "heapsize=32m", str(script), str(data), str(len(content))],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pairs = (line.split() for line in done.stdout.splitlines())
    return {path.removeprefix("/flash/"): digest for path, digest in pairs}


def hashes(files: dict[str, bytes]) -> dict[str, str]:
    import hashlib

    return {path: hashlib.sha256(data).hexdigest() for path, data in files.items()}


def esptool(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "esptool", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOD_HOME", str(tmp_path / "home"))


def made(board: boards.Board, flash_size: int | None = None) -> plan.Plan:
    loaded = firmware.parse(fake_firmware.for_board(board), "firmware.bin", "unknown")
    return plan.make(board, loaded, flash_size or board.flash_size, dict(SETTINGS))


# --- the file system -------------------------------------------------------------------------


def test_micropython_mounts_reads_and_writes_the_image(tmp_path: Path) -> None:
    content = image.build(FILES, 512 * BLOCK)
    assert mounted(tmp_path, content) == hashes(FILES)


def test_the_image_is_as_large_as_the_partition() -> None:
    for blocks in (64, 240, 512):
        assert len(image.build(FILES, blocks * BLOCK)) == blocks * BLOCK


def test_the_same_files_give_the_same_image_in_any_order() -> None:
    backwards = dict(reversed(list(FILES.items())))
    assert image.build(FILES, 512 * BLOCK) == image.build(backwards, 512 * BLOCK)


def test_reading_gives_what_was_built() -> None:
    assert image.read(image.build(FILES, 512 * BLOCK)) == FILES


def test_the_written_runs_alone_make_the_image_on_an_erased_flash() -> None:
    content = image.build(FILES, 512 * BLOCK)
    flash = bytearray(b"\xff" * len(content))
    for offset, data in image.runs(content):
        assert offset % BLOCK == 0
        assert len(data) % BLOCK == 0
        flash[offset : offset + len(data)] = data
    assert flash == content
    assert sum(len(data) for _, data in image.runs(content)) < len(content) // 4


def test_what_an_older_flash_holds_beside_the_runs_does_no_harm(tmp_path: Path) -> None:
    content = image.build(FILES, 512 * BLOCK)
    older = image.build({f"old{n}": b"o" * 9000 for n in range(40)}, 512 * BLOCK)
    flash = bytearray(older)
    for offset, data in image.runs(content):
        flash[offset : offset + len(data)] = data
    assert mounted(tmp_path, bytes(flash)) == hashes(FILES)


def test_updating_changes_the_named_files_and_keeps_the_rest(tmp_path: Path) -> None:
    older = image.build({**FILES, "apps/1/app.json": b"{}", "data/x": b"y"}, 512 * BLOCK)
    newer = {"lib/kodkod/b.mpy": b"new", "main.py": b"print(2)\n"}
    content = image.update(older, newer, remove=("lib/kodkod",))
    wanted = {"kodkod.json": b"{}", "apps/1/app.json": b"{}", "data/x": b"y", **newer}
    assert image.read(content) == wanted
    flash = bytearray(older)
    for offset, data in image.runs(content, older):
        flash[offset : offset + len(data)] = data
    assert flash == content
    assert mounted(tmp_path, bytes(flash)) == hashes(wanted)


def test_removing_what_is_not_there_is_no_error() -> None:
    older = image.build({"a": b"1"}, 64 * BLOCK)
    assert image.read(image.update(older, {}, remove=("lib/kodkod",))) == {"a": b"1"}


@pytest.mark.parametrize("content", [b"\xff", b"\0", b"\x5a"], ids=["erased", "zeros", "noise"])
def test_a_flash_without_a_file_system_is_unreadable(content: bytes) -> None:
    with pytest.raises(image.Unreadable, match="no littlefs"):
        image.read(content * (64 * BLOCK))


def test_a_file_system_of_another_size_is_unreadable() -> None:
    content = image.build(FILES, 128 * BLOCK)
    with pytest.raises(image.Unreadable):
        image.read(content[: 64 * BLOCK])


def test_too_many_files_are_refused_in_one_line() -> None:
    with pytest.raises(UserError, match=r"97 KB.*do not fit.*64 KB"):
        image.build({"big": b"x" * 100_000}, 16 * BLOCK)


# --- all of it -------------------------------------------------------------------------------


@pytest.mark.parametrize("board", BOARDS, ids=IDS)
def test_every_boards_images_fit_together(board: boards.Board) -> None:
    whole = made(board)
    last = 0
    for piece in sorted(whole.pieces, key=lambda piece: piece.offset):
        assert piece.offset >= last
        last = piece.end
    assert last <= board.flash_size
    assert whole.pieces[0].offset == board.firmware_offset
    assert whole.pieces[1].offset == board.vfs_offset


@pytest.mark.parametrize("chip", sorted({board.chip for board in BOARDS}))
def test_esptool_accepts_and_merges_the_images(chip: str, tmp_path: Path) -> None:
    whole = made(boards.for_chip(chip)[0])
    program, files, text = plan.save(whole, tmp_path / "out")
    shown = esptool("--chip", chip, "image-info", str(program))
    assert "(valid)" in shown
    assert "(invalid" not in shown
    merged = tmp_path / "merged.bin"
    offsets = [hex(whole.firmware.offset), str(program), hex(whole.vfs.offset), str(files)]
    esptool("--chip", chip, "merge-bin", "-o", str(merged), "--pad-to-size", "4MB", *offsets)
    flash = merged.read_bytes()
    assert flash[whole.firmware.offset :].startswith(whole.firmware.data)
    assert flash[whole.vfs.offset : whole.vfs.end] == whole.image
    assert firmware.parse_table(flash[0x8000:0x8C00]) == whole.board.partitions
    assert json.loads(text.read_text())["vfs"]["offset"] == whole.vfs.offset


def test_the_device_finds_library_start_files_and_settings(tmp_path: Path) -> None:
    whole = made(boards.by_name("ESP32_GENERIC"))
    seen = mounted(tmp_path, whole.image)
    assert seen == hashes(image.read(whole.image))
    assert {"boot.py", "main.py", "kodkod.json", "lib/kodkod/__init__.mpy"} <= set(seen)
    assert json.loads(image.read(whole.image)["kodkod.json"]) == SETTINGS


def test_the_library_is_compiled_and_leaves_the_simulators_port_out() -> None:
    files = plan.device_files()
    library = {path: data for path, data in files.items() if path.startswith("lib/kodkod/")}
    assert all(path.endswith(".mpy") and data[:2] == b"M\x06" for path, data in library.items())
    assert "lib/kodkod/port/esp32.mpy" in library
    assert "lib/kodkod/port/unix.mpy" not in library


def test_the_images_are_the_same_for_the_same_device_and_differ_in_nothing_else() -> None:
    board = boards.by_name("ESP32_GENERIC")
    assert made(board).image == made(board).image
    first, second = made(board), made(board)
    loaded = second.firmware
    other = plan.make(board, loaded, board.flash_size, {**SETTINGS, "name": "shed"})
    one, two = image.read(first.image), image.read(other.image)
    assert {path for path in one if one[path] != two[path]} == {"kodkod.json"}


def test_a_device_reads_the_names_of_networks_as_they_are() -> None:
    name = 'Büro 2.4 "G" \\ \' \U0001f600'
    content = plan.settings_file(plan.new_settings("desk", [[name, 'pä ss"wo\\rd']]))
    program = "import json, sys; print(json.load(sys.stdin)['wifi'][0][0].encode().hex())"
    done = subprocess.run([*micropython(), "-c", program], input=content, capture_output=True)
    assert bytes.fromhex(done.stdout.decode()).decode() == name


def test_saved_images_with_the_key_are_for_their_owner_alone(tmp_path: Path) -> None:
    paths = plan.save(made(boards.by_name("ESP32_GENERIC")), tmp_path / "out")
    assert os.stat(paths[1]).st_mode & 0o777 == 0o600
    assert SETTINGS["key"] not in paths[2].read_text()


def test_the_plan_shows_no_secret() -> None:
    board = boards.by_name("ESP32_GENERIC")
    loaded = firmware.parse(fake_firmware.for_board(board), "firmware.bin", "unknown")
    settings = {**SETTINGS, "key": "c0ffee" * 5 + "42", "wifi": [["home", "hunter2hunter2"]]}
    whole = plan.make(board, loaded, board.flash_size, settings)
    text = "\n".join(whole.lines()) + json.dumps(whole.as_json())
    assert "home" in text
    assert "hunter2" not in text
    assert "c0ffee" not in text
    assert "hash unknown" in text


def test_a_larger_flash_is_used_whole() -> None:
    whole = made(boards.by_name("ESP32_GENERIC_S3"), 16 << 20)
    assert whole.vfs.end == 16 << 20
    assert len(whole.image) == whole.vfs.size
    assert sum(len(piece.data) for piece in whole.pieces) < 1 << 20


@pytest.mark.parametrize(
    ("name", "size"), [("ESP32_GENERIC", 2), ("ESP32_GENERIC-OTA", 2), ("ESP32_GENERIC", 1)]
)
def test_too_small_a_flash_is_refused_before_anything_is_written(name: str, size: int) -> None:
    with pytest.raises(UserError, match=rf"flash \({size}MB\) is too small for {name}"):
        made(boards.by_name(name), size << 20)
