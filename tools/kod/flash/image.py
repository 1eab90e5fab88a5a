"""The file system image of a device: littlefs, as MicroPython's VfsLfs2 mounts it."""

from __future__ import annotations

from typing import Any

from littlefs import LittleFS, LittleFSError, UserContext

from kod.errors import UserError
from kod.flash.boards import BLOCK

_DISK_VERSION = 0x00020000  # 2.1 would be refused by firmware whose littlefs is older
_GAP = 16 * BLOCK  # shorter gaps are written along: a region costs about as much


class Unreadable(UserError):
    """What was read from the flash is no file system of that size."""


def build(files: dict[str, bytes], size: int) -> bytes:
    """An image of `size` bytes with `files` (path without leading slash: content)."""
    fs = _open(None, size)
    fs.format()
    fs.mount()
    _write(fs, files)
    return _bytes(fs)


def update(image: bytes, files: dict[str, bytes], remove: tuple[str, ...] = ()) -> bytes:
    """`image` with the trees `remove` taken out and `files` written; the rest is untouched."""
    fs = _mounted(image)
    for path in remove:
        _remove_tree(fs, path)
    _write(fs, files)
    return _bytes(fs)


def read(image: bytes) -> dict[str, bytes]:
    """Every file in `image`, by its path without leading slash."""
    fs = _mounted(image)
    found = {}
    for folder, _, names in fs.walk("/"):
        for name in names:
            path = f"{folder.rstrip('/')}/{name}"
            with fs.open(path, "rb") as file:
                found[path.lstrip("/")] = file.read()
    return found


def runs(image: bytes, before: bytes | None = None) -> list[tuple[int, bytes]]:
    """What of `image` must be written: (offset, bytes) of its used blocks, or of those that
    differ from `before`. littlefs never reads a block it did not write, so the others need be
    neither sent nor erased: that would take a minute on a large flash."""
    base = before if before is not None else b"\xff" * len(image)
    found: list[tuple[int, int]] = []
    for at in range(0, len(image), BLOCK):
        if image[at : at + BLOCK] == base[at : at + BLOCK]:
            continue
        if found and at - found[-1][1] <= _GAP:
            found[-1] = (found[-1][0], at + BLOCK)
        else:
            found.append((at, at + BLOCK))
    return [(start, image[start:end]) for start, end in found]


def free(image: bytes) -> int:
    """Bytes not used in `image`."""
    fs = _mounted(image)
    return len(image) - fs.used_block_count * BLOCK


def _open(data: bytes | None, size: int) -> LittleFS:
    context = UserContext(size)
    if data is not None:
        context.buffer[:] = data
    options: dict[str, Any] = {
        "block_size": BLOCK,
        "block_count": size // BLOCK,
        "disk_version": _DISK_VERSION,
    }
    return LittleFS(context, mount=False, **options)


def _mounted(image: bytes) -> LittleFS:
    fs = _open(image, len(image))
    try:
        fs.mount()
    except LittleFSError as error:
        raise Unreadable(f"no littlefs file system of {len(image)} bytes: {error}") from None
    return fs


def _write(fs: LittleFS, files: dict[str, bytes]) -> None:
    try:
        for path in sorted(files):  # the order decides the blocks: the same files, the same image
            folder = path.rpartition("/")[0]
            if folder:
                fs.makedirs("/" + folder, exist_ok=True)
            with fs.open("/" + path, "wb") as file:
                file.write(files[path])
    except LittleFSError as error:
        if error.code != LittleFSError.Error.LFS_ERR_NOSPC:
            raise
        raise UserError(
            f"the files ({sum(map(len, files.values())) >> 10} KB) do not fit in the device's "
            f"file system ({fs.block_count * BLOCK >> 10} KB); take a board with more flash"
        ) from None


def _remove_tree(fs: LittleFS, path: str) -> None:
    try:
        kind = fs.stat("/" + path).type
    except LittleFSError as error:
        if error.code == LittleFSError.Error.LFS_ERR_NOENT:
            return
        raise
    if kind == 2:
        for entry in list(fs.scandir("/" + path)):
            _remove_tree(fs, f"{path}/{entry.name}")
    fs.remove("/" + path)


def _bytes(fs: LittleFS) -> bytes:
    fs.unmount()
    return bytes(fs.context.buffer)
