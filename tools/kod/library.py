"""The device library as it lies on a flash: compiled modules and what starts them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

from kod import config, micropython
from kod.errors import UserError

_HERE = Path(__file__).resolve().parent
_OPTIMIZE = "-O3"  # drops asserts and line numbers nobody reads: the kernel's RAM is the apps'
_CONST = b"\nfrom micropython import const\n"  # the compiler folds const() by itself


def library_folder() -> Path:
    """Where the sources of the device package `kodkod` lie: beside kod, or in the repository."""
    installed = _HERE.parent / "kodkod"
    return installed if installed.is_dir() else _HERE.parents[1] / "lib" / "kodkod"


def firmware_folder() -> Path:
    """Where boot.py and main.py lie."""
    installed = _HERE / "firmware"
    return installed if installed.is_dir() else _HERE.parents[1] / "firmware"


def files() -> dict[str, bytes]:
    """Every file by its path on the flash: `lib/kodkod/**.mpy`, `main.py`, `boot.py`."""
    root = library_folder()
    found: dict[str, bytes] = {}
    for source in sorted(root.rglob("*.py")):
        name = "kodkod/" + source.relative_to(root).as_posix()
        # In tracebacks a module goes by its package: each name of its own would cost 40 bytes.
        found["lib/" + name[:-3] + ".mpy"] = compiled(source, name.rpartition("/")[0])
    for name in ("boot.py", "main.py"):
        path = firmware_folder() / name
        if path.is_file():
            found[name] = path.read_bytes()
    return found


def digest(contents: dict[str, bytes]) -> str:
    """One value that differs when any file of the library does."""
    state = hashlib.sha256()
    for name, data in sorted(contents.items()):
        state.update(f"{name}\0{len(data)}\0".encode())
        state.update(data)
    return state.hexdigest()


def unpacked() -> Path:
    """A folder with the compiled library, for programs that run on this computer."""
    contents = {
        name.removeprefix("lib/"): data
        for name, data in files().items()
        if name.startswith("lib/")
    }
    folder = config.cache("unpacked") / digest(contents)[:16]
    if folder.is_dir():
        return folder
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        for name, data in contents.items():
            path = Path(temporary, "lib", name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        with contextlib.suppress(OSError):  # another kod was quicker
            os.rename(Path(temporary, "lib"), folder)
    return folder


def compiled(source: Path, name: str) -> bytes:
    """The .mpy of `source`; tracebacks call it `name`. Kept in the cache by what it is made of."""
    program = micropython.mpy_cross()
    text = source.read_bytes().replace(_CONST, b"\n\n")
    version = Path(program).stat()
    made_of = f"{_OPTIMIZE}\0{name}\0{version.st_size}\0{version.st_mtime_ns}\0".encode() + text
    key = hashlib.sha256(made_of).hexdigest() + ".mpy"
    with contextlib.suppress(OSError):
        return (config.cache("library") / key).read_bytes()
    data = _compile(program, source, text, name)
    with contextlib.suppress(OSError):  # a cache that cannot be written is no reason to fail
        config.keep(config.cache("library") / key, data)
    return data


def _compile(program: str, source: Path, text: bytes, name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "out.mpy"
        taken = Path(folder) / source.name
        taken.write_bytes(text)
        done = subprocess.run(
            [program, _OPTIMIZE, "-s", name, "-o", str(target), str(taken)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise UserError(f"the library does not compile: {source}", detail=done.stderr.strip())
        return target.read_bytes()
