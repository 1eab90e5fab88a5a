"""Follows a program's imports and collects the modules that belong into its image."""

from __future__ import annotations

from collections import deque

from . import imports
from .compile import Job, compile_all
from .errors import BuildError
from .finder import Finder, Module
from .imports import Import

# Imported for other readers of the source; that they are absent is what was meant.
_QUIET = ("typing", "typing_extensions", "__future__", "collections.abc", "abc")


class Trace:
    """The modules of one program, by name, and what is to be said about their imports."""

    def __init__(self, finder: Finder, entry: str) -> None:
        """Collects everything that the program imports; BuildError for what is nowhere."""
        self.modules: dict[str, Module] = {}
        self.warnings: list[str] = []
        self._finder = finder
        self._device = finder.device
        self._waiting: deque[Module] = deque()
        self._later: list[tuple[Module, Import]] = []
        self._on_device: dict[str, tuple[Module, Import]] = {}
        self._strict = True
        self._include(finder.entry(entry))
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
            names = (imports.base(one, module.package) for one in module.source.imports)
            self._finder.prepare(name for name in names if name)
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
        return bool(name) and self._finder.where(str(name)) is not None

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
        where = self._finder.where(name)
        if where is None:
            self._missing(importer, one, name)
        elif not where:
            self._on_device.setdefault(name, (importer, one))
            if self._device.is_plain_folder(name):
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
            found = self._finder.where(full)
            if found:
                self._include(found[-1])
            elif not package.is_real:
                self._missing(importer, one, full)

    def _take_more(self, importer: Module, one: Import, folder: str) -> None:
        """`from folder import name`, of which the device has some and the packages others."""
        for name in one.names:
            full = f"{folder}.{name}"
            where = self._finder.where(full)
            if where is None:
                self._missing(importer, one, full)
            elif not where:
                self._on_device.setdefault(full, (importer, one))
            for module in where or []:
                self._include(module)

    def _take_dynamic(self, importer: Module, one: Import) -> None:
        """`__import__(computed)`: a package that loads its parts so gets all of them."""
        if importer.is_package:
            for name in self._finder.inside(importer):
                self._later.append((importer, Import(name, (), 0, one.line, one.column, True)))
        elif importer.is_local and not one.optional:
            self._warn(importer, one, "what __import__ loads here is not known to the build")

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
        where = f"beside the program, in lib/, {self._device.where} or in a package of kodkod.toml"
        if one.level or self._has_top(name):
            where = f"in {name.rpartition('.')[0]}"
        raise self._error(importer, one, f"module {name!r} is not {where}")

    def _warn_hidden(self, importer: Module, one: Import, module: Module) -> None:
        is_new = module.name not in self.modules
        if is_new and module.source and module.is_local and self._device.is_hidden(module.name):
            text = f"module {module.name!r} is {module.source.shown}, not the device's"
            self._warn(importer, one, text)

    def _has_top(self, name: str) -> bool:
        top, dot, _ = name.partition(".")
        return bool(dot) and self._finder.where(top) is not None

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
            chain = self._finder.chain(name) if dot and top in self.modules else []
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
