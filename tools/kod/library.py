"""The device library as it lies on a flash: compiled modules and what starts them."""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from kod import cache, config, micropython, names
from kod.errors import UserError

_HERE = Path(__file__).resolve().parent
_OPTIMIZE = "-O3"  # drops asserts and line numbers nobody reads: the kernel's RAM is the apps'
_STARTS = ("boot.py", "main.py")
_CONST = "\nfrom micropython import const\n"  # the compiler folds const() by itself


def library_folder() -> Path:
    """Where the sources of the device package `kodkod` lie: beside kod, or in the repository."""
    installed = _HERE.parent / "kodkod"
    return installed if installed.is_dir() else _HERE.parents[1] / "lib" / "kodkod"


def firmware_folder() -> Path:
    """Where boot.py and main.py lie."""
    installed = _HERE / "firmware"
    return installed if installed.is_dir() else _HERE.parents[1] / "firmware"


def sources() -> dict[str, str]:
    """What is compiled, by path (`kodkod/apps/app.py`), its `.pyi`, and what else uses it."""
    root = library_folder()
    found = {f"kodkod/{path.relative_to(root).as_posix()}": path for path in root.rglob("*.py*")}
    found |= {name: firmware_folder() / name for name in _STARTS}
    found["on_device.py"] = _HERE / "flash" / "on_device.py"
    return {
        name: path.read_text("utf-8")
        for name, path in sorted(found.items())
        if path.suffix in (".py", ".pyi")
    }


def files() -> dict[str, bytes]:
    """Every file by its path on the flash: `lib/kodkod/**.mpy`, `main.py`, `boot.py`."""
    return compiled(sources())


def digest(contents: dict[str, bytes]) -> str:
    """One value that differs when any file of the library does."""
    state = hashlib.sha256()
    for name, data in sorted(contents.items()):
        state.update(f"{name}\0{len(data)}\0".encode())
        state.update(data)
    return state.hexdigest()


def unpacked() -> Path:
    """A folder with the compiled library, for programs that run on this computer: with the names
    of its sources, since nobody turns back the tracebacks that are printed here."""
    contents = {
        name.removeprefix("lib/"): data
        for name, data in compiled(sources(), renamed=False).items()
        if name.startswith("lib/")
    }
    folder = config.cache("unpacked") / digest(contents)[:16]
    if all(_is_kept(folder / name, data) for name, data in contents.items()):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            _unpack(contents, Path(temporary, "lib"))
            with contextlib.suppress(OSError):  # another kod was quicker
                os.rename(Path(temporary, "lib"), folder)
    except OSError:  # no place to keep it in
        folder = Path(tempfile.mkdtemp(prefix="kod-library-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        _unpack(contents, folder)
    return folder


def _unpack(contents: dict[str, bytes], folder: Path) -> None:
    for name, data in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _is_kept(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except OSError:
        return False


def compiled(texts: dict[str, str], renamed: bool = True) -> dict[str, bytes]:
    """`files()` of what `sources()` gives, or of such as that. Kept in the cache by what they are
    made of: each module's names depend on all the others."""
    program = micropython.mpy_cross()
    version = Path(program).stat()
    made_of = [_OPTIMIZE, str(renamed), str(version.st_size), str(version.st_mtime_ns)]
    made_of += [path.read_text("utf-8") for path in (Path(names.__file__), names.TABLE)]
    made_of += [f"{path}\0{text}" for path, text in sorted(texts.items())]
    place = config.cache("library") / hashlib.sha256("\0".join(made_of).encode()).hexdigest()
    found = {name: texts[name].encode() for name in _STARTS}
    given = None
    for path in [path for path in texts if path[:7] == "kodkod/" and path.endswith(".py")]:
        name = path[:-3] + ".mpy"
        kept = place / name.replace("/", "-")
        data = cache.read(kept)
        if data is None:
            given = given or names.Names(texts) if renamed else None
            data = _compile(program, path, given.compiled_from(path) if given else texts[path])
            cache.write(kept, data)
        found["lib/" + name] = data
    return found


def inside(program: str) -> str:
    """A program that looks into the library, as a test does, in the names that are in its .mpy."""
    return names.Names(sources()).inside(program)


def _compile(program: str, path: str, text: str) -> bytes:
    text = text.replace(_CONST, "\n")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, Path(path).name), Path(folder, "out.mpy")
        source.write_text(text, "utf-8")
        # In tracebacks a module goes by its package: each name of its own would cost 40 bytes.
        done = subprocess.run(
            [program, _OPTIMIZE, "-s", path.rpartition("/")[0], "-o", str(target), str(source)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise UserError(f"the library does not compile: {path}", detail=done.stderr.strip())
        return target.read_bytes()
