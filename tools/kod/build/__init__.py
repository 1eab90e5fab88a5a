"""From a program to an app image: imports traced, compiled, packed; wrong ones refused here.

`build_image("provider.py").data` is what `kod install` sends and `kod build` writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from kod import reading

from . import lint
from . import project as projects
from .compile import MPY, Job, compile_all
from .device import Device
from .errors import BuildError
from .finder import Finder, Module, shown
from .image import Image, check_mpy, check_name, make_image, read_image
from .trace import Trace

__all__ = ["BuildError", "Image", "build_image", "check_mpy", "read_image"]


def build_image(
    file: str | Path,
    *,
    source: bool = False,
    assets: str | Path | None = None,
    builtins: Iterable[str] | Device | None = None,
    project: str | Path | None = None,
    mpy: tuple[int, int] = MPY,
) -> Image:
    """The image of the program `file` with all that it imports; BuildError says what is wrong.

    `source` packs .py instead of .mpy; `assets` is a folder whose files go along; `builtins`
    are the module names that the device has, or who knows them (default: those of a stock
    ESP32); `project` is the folder of kodkod.toml (default: the nearest one upwards); `mpy` is
    the .mpy version that the device loads.
    """
    read: list[Path] = []
    try:
        image = _build(Path(os.path.abspath(file)), source, assets, builtins, project, mpy, read)
    except BuildError as error:
        error.sources = tuple(dict.fromkeys(read))
        raise
    image.sources = tuple(dict.fromkeys(read))
    return image


def _build(
    program: Path,
    source: bool,
    assets: str | Path | None,
    builtins: Iterable[str] | Device | None,
    root: str | Path | None,
    mpy: tuple[int, int],
    read: list[Path],
) -> Image:
    device = builtins if isinstance(builtins, Device) else Device(builtins)
    read.append(program)
    entry = _entry(program, device)
    home = projects.find(program, Path(os.path.abspath(root)) if root else None)
    if home.file:
        read.append(home.file)
    trace = Trace(Finder(home, program, device, read), entry)
    files = _packed(list(trace.modules.values()), source)
    has_mpy = _check_versions(files, mpy[0])
    for name, data in _assets(assets, read):
        if name in files:
            raise BuildError(f"{name} is both a module and an asset; rename one")
        files[name] = data
    image = make_image(
        entry,
        files,
        mpy=MPY if has_mpy else None,
        script=trace.modules[entry].is_script,
        permissions=home.permissions,
        settings=home.settings,
    )
    image.warnings = sorted(_warnings(trace), key=_by_place)
    return image


def _entry(program: Path, device: Device) -> str:
    """The name of the module that the device is to start."""
    name = program.stem
    try:
        if program.is_dir():
            raise BuildError("is a folder; name the program in it", file=shown(program))
        if not program.is_file():
            raise BuildError("there is no such file", file=shown(program))
    except OSError as error:
        raise BuildError(f"cannot be read: {error.strerror}", file=shown(program)) from None
    if program.suffix != ".py":
        raise BuildError("is no .py file", file=shown(program))
    if "." in name or name == "__init__" or device.is_fixed(name):
        why = "is a module of the device" if device.is_fixed(name) else "is no module's name"
        raise BuildError(f"{name!r} {why}; rename the file", file=shown(program))
    check_name(program.name)
    return name


def _packed(modules: list[Module], source: bool) -> dict[str, bytes]:
    """The modules' files; they are compiled for --source too, since that judges their syntax."""
    from_source = [module for module in modules if module.source]
    jobs = [Job(module.source, module.text) for module in from_source if module.source]
    files = {}
    for module, job, data in zip(from_source, jobs, compile_all(jobs), strict=True):
        if source:
            files[module.target + ".py"] = job.text.encode()
        else:
            files[module.target + ".mpy"] = data
    for module in modules:
        if module.compiled is not None:
            files[module.target + ".mpy"] = module.compiled
    return files


def _check_versions(files: dict[str, bytes], version: int) -> bool:
    """Whether there is .mpy among `files`; all of it must be of the device's version."""
    compiled = [name for name in files if name.endswith(".mpy")]
    for name in compiled:
        if files[name][1] != version:
            raise BuildError(
                f"{name} is .mpy version {files[name][1]}, the device loads {version}: "
                "use --source, or a kod that fits the device's MicroPython"
            )
    return bool(compiled)


def _assets(folder: str | Path | None, read: list[Path]) -> Iterator[tuple[str, bytes]]:
    """The files below a folder, by their relative names; hidden ones stay here."""
    if folder is None:
        return
    top = Path(os.path.abspath(folder))
    if not os.path.isdir(top):
        raise BuildError("there is no such folder", file=shown(top))
    for here, folders, names in os.walk(top, followlinks=True):
        folders[:] = sorted(one for one in folders if not one.startswith((".", "__pycache__")))
        for leaf in sorted(names):
            if leaf.startswith("."):
                continue
            path = Path(here, leaf)
            name = path.relative_to(top).as_posix()
            check_name(name)
            read.append(path)
            try:
                yield name, reading.content(path)
            except OSError as error:
                raise BuildError(f"cannot be read: {error.strerror}", file=shown(path)) from None


def _warnings(trace: Trace) -> list[str]:
    found = list(trace.warnings)
    for module in trace.modules.values():
        if module.source and module.is_local:
            found += lint.warnings_of(module.source)
    return found


def _by_place(warning: str) -> tuple[str, int]:
    file, line, _ = warning.split(":", 2)
    return file, int(line)
