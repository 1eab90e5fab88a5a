"""Follows a program's imports and collects the modules that belong into its image.

Looked up, in this order: beside the program, in the project's lib/, on the device, in the
packages of kodkod.toml. A folder without __init__.py counts only where the device has nothing.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from . import imports
from .compile import Job, compile_all
from .device import Device
from .errors import BuildError
from .image import is_mpy
from .imports import Import
from .packages import Packages
from .project import Project
from .source import Source

# Imported for other readers of the source; that they are absent is what was meant.
_QUIET = ("typing", "typing_extensions", "__future__", "collections.abc", "abc")


@dataclass
class Module:
    """One module of the app: a source, a ready .mpy, or (with neither) a folder of modules."""

    name: str
    is_package: bool = False
    source: Source | None = None
    compiled: bytes | None = None
    place: Path | str | None = None  # the folder of its submodules, here or in a package
    is_local: bool = True

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
    def text(self) -> str:
        assert self.source
        return imports.absolute(self.source.text, self.source.imports, self.package)


@dataclass
class Trace:
    """The modules of one program, by name, once `follow` has returned."""

    project: Project
    program: Path
    device: Device
    modules: dict[str, Module] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    read: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._packages = Packages(self.project)
        self._listings: dict[Path, frozenset[str]] = {}
        self._found: dict[str, Module | None] = {}
        self._waiting: deque[Module] = deque()
        self._later: list[tuple[Module, Import]] = []
        self._on_device: dict[str, tuple[Module, Import]] = {}
        self._strict = True

    def follow(self, entry: str) -> None:
        """Collects everything that the program imports; BuildError for what is nowhere."""
        self._include(Module(entry, source=self._source(self.program)))
        self._work()
        self._strict = False  # from here on: what may never be reached
        while self._later:
            importer, one = self._later.pop(0)
            self._take(importer, one)
            self._work()
        self._check_split_packages()

    def _work(self) -> None:
        while self._waiting:
            module = self._waiting.popleft()
            if module.source is None:
                continue
            if module.source.tree is None:
                compile_all([Job(module.source, module.source.text)])  # the judge of syntax
            for one in module.source.imports:
                self._import(module, one)

    def _import(self, importer: Module, one: Import) -> None:
        if one.instead_of and all(self._resolves(importer, tried) for tried in one.instead_of):
            # The except branch: never reached after plain imports that are all there; after
            # `from x import y` it may be, for want of y.
            if any(tried.names for tried in one.instead_of):
                self._later.append((importer, one))
            return
        self._take(importer, one)

    def _resolves(self, importer: Module, one: Import) -> bool:
        name = imports.base(one, importer.package)
        return bool(name) and self._where(str(name)) is not None

    def _take(self, importer: Module, one: Import) -> None:
        if one.is_dynamic:
            self._take_dynamic(importer, one)
            return
        name = imports.base(one, importer.package)
        if name is None:
            raise self._error(
                importer,
                one,
                "a relative import reaches beyond its package"
                if importer.package
                else "a relative import works only inside a package; name the module itself",
            )
        where = self._where(name)
        if where is None:
            self._missing(importer, one, name)
        elif not where:
            self._on_device.setdefault(name, (importer, one))
            if name in self.device.plain_folders:
                self._take_more(importer, one, name)
        else:
            self._warn_hidden(importer, one, where[0])
            for module in where:
                self._include(module)
            self._take_names(importer, one, where[-1])

    def _take_names(self, importer: Module, one: Import, package: Module) -> None:
        """`from package import name`: the name may be a module of it."""
        for name in one.names:
            if name == "*" or package.place is None:
                continue
            full = f"{package.name}.{name}"
            found = self._where(full)
            if found:
                self._include(found[-1])
            elif not package.is_real:
                self._missing(importer, one, full)

    def _take_more(self, importer: Module, one: Import, folder: str) -> None:
        """`from folder import name`, of which the device has some and the packages others."""
        for name in one.names:
            full = f"{folder}.{name}"
            where = self._where(full)
            if where is None:
                self._missing(importer, one, full)
            elif not where:
                self._on_device.setdefault(full, (importer, one))
            for module in where or []:
                self._include(module)

    def _take_dynamic(self, importer: Module, one: Import) -> None:
        """`__import__(computed)`: a package that loads its parts so gets all of them."""
        if importer.is_package:
            for name in self._inside(importer):
                self._later.append((importer, Import(name, (), 0, one.line, one.column, True)))
        elif importer.is_local and not one.optional:
            self._warn(importer, one, "what __import__ loads here is not known to the build")

    def _inside(self, package: Module) -> list[str]:
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

    def _include(self, module: Module) -> None:
        if module.name not in self.modules:
            self.modules[module.name] = module
            self._waiting.append(module)

    def _missing(self, importer: Module, one: Import, name: str) -> None:
        if not self._strict:
            return
        if one.optional:
            if importer.is_local and name not in _QUIET:
                self._warn(importer, one, f"module {name!r} was not found; the except branch runs")
            return
        where = "beside the program, in lib/, on the device or in a package of kodkod.toml"
        if one.level or self._has_top(name):
            where = f"in {name.rpartition('.')[0]}"
        raise self._error(importer, one, f"module {name!r} is not {where}")

    def _warn_hidden(self, importer: Module, one: Import, module: Module) -> None:
        is_new = module.name not in self.modules
        if is_new and module.source and module.is_local and self.device.has(module.name):
            text = f"module {module.name!r} is {module.source.shown}, not the device's"
            self._warn(importer, one, text)

    def _has_top(self, name: str) -> bool:
        top, dot, _ = name.partition(".")
        return bool(dot) and self._where(top) is not None

    def _error(self, importer: Module, one: Import, message: str) -> BuildError:
        assert importer.source
        return importer.source.error(message, one.line)

    def _warn(self, importer: Module, one: Import, message: str) -> None:
        assert importer.source
        line = f"{importer.source.shown}:{one.line}: {message}"
        if line not in self.warnings:
            self.warnings.append(line)

    def _check_split_packages(self) -> None:
        """An app's package hides the device's of the same name, with all that is in it."""
        for name, (importer, one) in self._on_device.items():
            top, dot, _ = name.partition(".")
            chain = self._chain(name) if dot and top in self.modules else []
            for module in chain or []:
                self._include(module)
            self._work()
            if chain is None:
                raise self._error(
                    importer,
                    one,
                    f"{name!r} is on the device, but the app's own {top!r} hides it: "
                    f"put {name} into that folder too",
                )

    # Where a module is: None for nowhere, [] for the device, else it with its packages.

    def _where(self, name: str) -> list[Module] | None:
        top = name.partition(".")[0]
        if self.device.is_fixed(top):
            return [] if self.device.has(name) else None
        if self.device.has(name) and not self._hides(top):
            return []
        return self._chain(name)

    def _hides(self, top: str) -> bool:
        """Whether a file of the project takes the place of what the device has."""
        module = self._module(top, local=True)
        return module is not None and module.is_real

    def _chain(self, name: str) -> list[Module] | None:
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
        if name in self.modules:
            return self.modules[name]
        plain = None
        for root in dict.fromkeys((self.program.parent, self.project.root / "lib")):
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
            data = path.read_bytes()
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
