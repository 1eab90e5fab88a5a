"""Where modules are: beside the program, in lib/, on the device, in a package; in this order.

A folder without __init__.py counts only where the device has nothing of that name.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kod import reading

from . import imports, script
from .device import STOCK, Device
from .errors import BuildError
from .image import is_mpy
from .packages import Packages
from .project import Project
from .source import Source


@dataclass
class Module:
    """One module of the app: a source, a ready .mpy, or (with neither) a folder of modules."""

    name: str
    is_package: bool = False
    source: Source | None = None
    compiled: bytes | None = None
    place: Path | str | None = None  # the folder of its submodules, here or in a package
    is_local: bool = True
    is_entry: bool = False  # the program itself

    @property
    def target(self) -> str:
        """Its name in the image, without its ending."""
        return self.name.replace(".", "/") + ("/__init__" if self.is_package else "")

    @property
    def is_real(self) -> bool:
        return self.source is not None or self.compiled is not None

    @property
    def package(self) -> str:
        """What its relative imports start from."""
        return self.name if self.is_package else self.name.rpartition(".")[0]

    @property
    def is_script(self) -> bool:
        """Whether it starts itself, where it asks for `__main__`."""
        return bool(self.is_entry and self.source and script.guards(self.source.tree))

    @property
    def text(self) -> str:
        assert self.source
        text = imports.absolute(self.source.text, self.source.imports, self.package)
        return script.as_main(text, script.guards(self.source.tree)) if self.is_entry else text


@dataclass
class Finder:
    """Looks modules up for one program; `read` gets every file of this computer it reads."""

    project: Project
    program: Path
    device: Device
    read: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._packages = Packages(self.project)
        self._roots = dict.fromkeys((self.program.parent, self.project.root / "lib"))
        self._listings: dict[Path, frozenset[str]] = {}
        self._found: dict[str, Module | None] = {}

    def entry(self, name: str) -> Module:
        """The program itself, which the modules that it imports may import too."""
        module = Module(name, source=self._source(self.program), is_entry=True)
        self._found[name] = module
        return module

    def prepare(self, names: Iterable[str]) -> None:
        """The device is asked at once for all of these that may be its own."""
        tops = {name: name.partition(".")[0] for name in names}
        self.device.prepare(
            one
            for name, top in tops.items()
            for one in {name, top}
            if one in STOCK or not self._is_near(top)
        )

    def _is_near(self, top: str) -> bool:
        """Whether a file or folder of the project may be meant; it is not read."""
        files = {top, f"{top}.py", f"{top}.mpy"}
        return any(files & self._listing(root) for root in self._roots)

    def where(self, name: str) -> list[Module] | None:
        """None for nowhere, [] for the device, else the module after the packages around it."""
        top = name.partition(".")[0]
        if self.device.is_fixed(top):
            return [] if self.device.has(name) else None
        if not self._hides(top) and self.device.has(name):
            return []
        return self.chain(name)

    def inside(self, package: Module) -> list[str]:
        """The names of all modules that lie in a package."""
        if isinstance(package.place, Path):
            entries = self._listing(package.place)
        else:
            start = f"{package.place}/"
            files = self._packages.files
            entries = frozenset(
                path[len(start) :].partition("/")[0] for path in files if path.startswith(start)
            )
        names = {entry.partition(".")[0] for entry in entries if not entry.startswith(("_", "."))}
        return [f"{package.name}.{name}" for name in sorted(names) if name.isidentifier()]

    def _hides(self, top: str) -> bool:
        """Whether a file of the project takes the place of what the device has."""
        module = self._module(top, local=True)
        return module is not None and module.is_real

    def chain(self, name: str) -> list[Module] | None:
        """A module of the project or of a package, after the packages around it."""
        parts = name.split(".")
        chain = []
        for count in range(1, len(parts) + 1):
            module = self._module(".".join(parts[:count]))
            if module is None:
                return None
            chain.append(module)
        return chain

    def _module(self, name: str, local: bool = False) -> Module | None:
        if name not in self._found:
            found = self._look_up(name)
            if found or not local:
                self._found[name] = found
            if not found and not local:
                self._found[name] = self._packaged(name.replace(".", "/"), name)
        return self._found.get(name)

    def _look_up(self, name: str) -> Module | None:
        """A module among the files of the project."""
        before, dot, leaf = name.rpartition(".")
        if dot:
            parent = self._module(before)
            if parent is None or not isinstance(parent.place, Path):
                return None
            return next(self._local(parent.place, leaf, name), None)
        plain = None
        for root in self._roots:
            module = next(self._local(root, leaf, name), None)
            if module and module.is_real:
                return module
            plain = plain or module
        return plain

    def _local(self, folder: Path, leaf: str, name: str) -> Iterator[Module]:
        entries = self._listing(folder)
        inner = folder / leaf
        if leaf in entries:
            inside = self._listing(inner)
            if "__init__.py" in inside:
                yield Module(name, True, self._source(inner / "__init__.py"), place=inner)
            elif "__init__.mpy" in inside:
                yield Module(name, True, None, self._ready(inner / "__init__.mpy"), inner)
        if f"{leaf}.py" in entries:
            yield Module(name, source=self._source(folder / f"{leaf}.py"))
        if f"{leaf}.mpy" in entries:
            yield Module(name, compiled=self._ready(folder / f"{leaf}.mpy"))
        if leaf in entries and any(one.endswith((".py", ".mpy")) for one in self._listing(inner)):
            yield Module(name, True, place=inner)

    def _listing(self, folder: Path) -> frozenset[str]:
        """What is in a folder, to the letter: some computers take `Util.py` for `util.py`."""
        if folder not in self._listings:
            try:
                self._listings[folder] = frozenset(os.listdir(folder))
            except OSError:
                self._listings[folder] = frozenset()
        return self._listings[folder]

    def _source(self, path: Path) -> Source:
        data = self._bytes(path)
        near = self.project.root if path.is_relative_to(self.project.root) else path.parent
        return Source.of(data, shown(path), path.relative_to(near).as_posix(), path)

    def _ready(self, path: Path) -> bytes:
        data = self._bytes(path)
        if not is_mpy(data):
            raise BuildError("is no .mpy file", file=shown(path))
        return data

    def _bytes(self, path: Path) -> bytes:
        try:
            data = reading.content(path)
        except OSError as error:
            raise BuildError(f"cannot be read: {error.strerror}", file=shown(path)) from None
        self.read.append(path)
        return data

    def _packaged(self, path: str, name: str) -> Module | None:
        before = name.rpartition(".")[0]
        parent = self._module(before) if before else None
        if before and (parent is None or not isinstance(parent.place, str)):
            return None
        files = self._packages.files
        for file, is_package in ((f"{path}/__init__", True), (path, False)):
            place = path if is_package else None
            if f"{file}.py" in files:
                origin = f"{file}.py"
                source = Source.of(self._packages.read(origin), origin, origin)
                return Module(name, is_package, source, None, place, False)
            if f"{file}.mpy" in files:
                data = self._packages.read(f"{file}.mpy")
                return Module(name, is_package, None, data, place, False)
        if any(file.startswith(path + "/") for file in files):
            return Module(name, True, place=path, is_local=False)
        return None


def shown(path: Path) -> str:
    """A file's name in messages: as seen from here, when it lies below."""
    here = os.path.relpath(path)
    return str(path) if here.startswith("..") else here
