"""Every .pyi beside the device library says what its .py does: names, parameters, defaults.

By reading both, since CPython cannot import most device files; stubtest does the rest for those
that it can.
"""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from interpreter import ROOT
from kod import services

LIBRARY = ROOT / "lib"
STUBS = sorted(LIBRARY.glob("kodkod/**/*.pyi"))
BOTH = ["errors", "message", "link/frames", "link/cipher", "link/session"]
# The names that apps are promised, with their parameters and defaults; `...`: not given.
SERVICES = {
    "registry": {
        "ServiceSelector": "uuid, major=None, minor=0",
        "ServiceSelector.matches": "other",
        "ServiceSelector.restrict": "",
    },
    "restricted": {
        "Restricted.allow": "name=None, major=None, minor=None, tag=None, tags=()",
        "Restricted.deny": "name=None, major=None, minor=None, tag=None, tags=()",
    },
    "provider": {
        "ServiceProvider": "name, major, minor, patch=0, tags=None",
        "ServiceProvider.provides": "selector, handler, id=None, priority=128, tags=None",
        "ServiceProvider.install": "",
        "ServiceProvider.uninstall": "wait=False",
        "ServiceProvider.resource": "client, handle",
        "ServiceProvider.resources": "",
    },
    "resource": {
        "ServiceResource": "provider, client, notifiable=False",
        "ServiceResource.notify": "value, close=False",
        "ServiceResource.close": "",
    },
    "client": {
        "ServiceClient": "selector, queue=64, overflow='drop_oldest', reconnect=False",
        "ServiceClient.open": "timeout_ms=..., if_absent=...",
        "ServiceClient.invoke": "index, arguments=None, timeout_ms=10000",
        "ServiceClient.close": "",
    },
    "proxy": {
        "ServiceResourceProxy": "client, handle",
        "ServiceResourceProxy.close": "",
    },
}
Function = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def name_of(path: Path) -> str:
    return path.relative_to(LIBRARY).as_posix()


class Module:
    """The public names of one file, and of each class in it."""

    def __init__(self, path: Path) -> None:
        self.text = path.read_text(encoding="utf-8")
        self.tree = ast.parse(self.text)
        self.constants = {
            target.id: node.value
            for node in self.tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        self.makes_names = "__getattr__" in self.names(self.tree.body)

    def names(self, body: list[ast.stmt]) -> dict[str, ast.AST]:
        """What a module or class body defines, and what its methods set on `self`."""
        found: dict[str, ast.AST] = {}
        for node in body:
            if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
                found[node.name] = node
            elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found.update((name, node) for target in targets for name in named(target))
            elif isinstance(node, (ast.If, ast.Try)):
                found.update(self.names(node.body))
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                found.update((alias.asname or alias.name, node) for alias in node.names)
        return found

    def attributes(self, node: ast.ClassDef) -> dict[str, ast.AST]:
        found = self.names(node.body)
        for sub in ast.walk(node):
            if not isinstance(sub, ast.Attribute) or not isinstance(sub.ctx, ast.Store):
                continue
            if ast.unparse(sub.value) == "self":
                found.setdefault(sub.attr, sub)
        return found

    def value(self, node: ast.expr | None) -> str:
        """A default as text, with the module's own constants replaced by their values."""
        while isinstance(node, ast.Name) and node.id in self.constants:
            node = self.constants[node.id]
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "const":
            return self.value(node.args[0])
        return "none" if node is None else ast.unparse(node)

    def parameters(self, node: Function) -> list[tuple[str, str, str]]:
        args = node.args
        plain = [*args.posonlyargs, *args.args]
        defaults: list[ast.expr | None] = [None] * (len(plain) - len(args.defaults))
        found = [
            ("plain", arg.arg, self.value(default))
            for arg, default in zip(plain, [*defaults, *args.defaults], strict=True)
        ]
        found += [("rest", arg.arg, "") for arg in (args.vararg,) if arg]
        found += [
            ("keyword", arg.arg, self.value(default))
            for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True)
        ]
        return found + [("keywords", arg.arg, "") for arg in (args.kwarg,) if arg]


def named(target: ast.expr) -> list[str]:
    return [node.id for node in ast.walk(target) if isinstance(node, ast.Name)]


def decorated(node: ast.AST, name: str) -> bool:
    return any(name in ast.unparse(item) for item in getattr(node, "decorator_list", []))


def public(names: dict[str, ast.AST]) -> set[str]:
    kinds = (*FUNCTIONS, ast.ClassDef, ast.Attribute)
    # What ends in _ is the library's own, in classes that apps derive from.
    return {n for n, node in names.items() if "_" not in n[0] + n[-1] and isinstance(node, kinds)}


def differences(source: Module, stub: Module) -> Iterator[str]:
    there, here = source.names(source.tree.body), stub.names(stub.tree.body)
    yield from (f"{name} is not in the stub" for name in sorted(public(there) - set(here)))
    for name, node in here.items():
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        if name not in there:
            # A stub's own private names are type variables.
            if name[0] != "_" and not (source.makes_names and name in source.text):
                yield f"{name} is only in the stub"
        elif isinstance(node, ast.ClassDef):
            yield from class_differences(source, stub, name, there[name], node)
        elif isinstance(node, FUNCTIONS):
            yield from function_differences(source, stub, name, there[name], node)


def class_differences(
    source: Module, stub: Module, name: str, there: ast.AST, here: ast.ClassDef
) -> Iterator[str]:
    if not isinstance(there, ast.ClassDef):
        yield f"{name} is no class in the source"
        return
    real, said = source.attributes(there), stub.attributes(here)
    own = {n for n in public(real) if isinstance(real[n], FUNCTIONS)}
    yield from (f"{name}.{method} is not in the stub" for method in sorted(own - set(said)))
    for method, node in said.items():
        where = f"{name}.{method}"
        if isinstance(node, FUNCTIONS) and method in real:
            yield from function_differences(source, stub, where, real[method], node)
        elif method not in real and not there.bases:
            yield f"{where} is only in the stub"


def function_differences(
    source: Module, stub: Module, name: str, there: ast.AST, here: Function
) -> Iterator[str]:
    if decorated(here, "overload") or decorated(here, "property"):
        return
    if not isinstance(there, FUNCTIONS):
        if not source.makes_names and not isinstance(there, (ast.Assign, ast.ImportFrom)):
            yield f"{name} is no function in the source"
        return
    if isinstance(there, ast.AsyncFunctionDef) and isinstance(here, ast.FunctionDef):
        yield f"{name} is async in the source"
    real, said = source.parameters(there), stub.parameters(here)
    shapes = [[(kind, param) for kind, param, _ in each] for each in (real, said)]
    if shapes[0] != shapes[1]:
        yield f"{name} has the parameters {shapes[0]}, its stub {shapes[1]}"
        return
    for (_, param, default), (_, _, claimed) in zip(real, said, strict=True):
        if default != claimed and not (claimed == "..." and default != "none"):
            yield f"{name}: default of {param} is {default}, in its stub {claimed}"


@pytest.mark.parametrize("path", STUBS, ids=name_of)
def test_a_stub_says_what_its_source_does(path: Path) -> None:
    found = list(differences(Module(path.with_suffix(".py")), Module(path)))
    assert not found, "\n".join(found)


def signature(module: Module, name: str) -> str:
    """The parameters of a function, method or class of this file, but for self."""
    kind, _, method = name.partition(".")
    defined = module.names(module.tree.body)[kind]
    assert isinstance(defined, ast.ClassDef)
    if not module.names(defined.body):  # all it has is its base's
        (base,) = defined.bases
        return signature(module, name.replace(kind, ast.unparse(base)))
    function = module.names(defined.body)[method or "__init__"]
    assert isinstance(function, FUNCTIONS)
    params = [
        param + ("" if default == "none" else f"={default.replace('object()', '...')}")
        for _, param, default in module.parameters(function)[1:]
    ]
    return ", ".join(params)


@pytest.mark.parametrize("home", SERVICES)
def test_names_parameters_and_defaults_are_those_that_apps_are_promised(home: str) -> None:
    module = Module(LIBRARY / f"kodkod/services/{home}.py")
    # The default of a parameter may be a name of the class, as PRIORITY_NORMAL is.
    module.constants["PRIORITY_NORMAL"] = ast.Constant(128)
    assert {name: signature(module, name) for name in SERVICES[home]} == SERVICES[home]


def test_a_client_on_cpython_has_the_same_names_parameters_and_defaults() -> None:
    promised = {**SERVICES["registry"], **SERVICES["client"], **SERVICES["proxy"]}
    for name, params in promised.items():
        kind, _, method = name.partition(".")
        function = getattr(getattr(services, kind), method or "__init__")
        found = []
        for param in list(inspect.signature(function).parameters.values())[1:]:
            default = repr(param.default) if param.default is not param.empty else ""
            default = "..." if default.startswith("<object") else default
            found.append(param.name + (f"={default}" if default else ""))
        if name == "ServiceClient.open":
            assert found.pop() == "device=None"
        assert ", ".join(found) == params, name


def test_every_name_that_apps_import_has_a_type() -> None:
    for folder, extra in (("kodkod", {"defines"}), ("kodkod/services", set[str]())):
        source = Module(LIBRARY / folder / "__init__.py")
        (homes,) = (
            node
            for name, node in source.constants.items()
            if name.startswith("_HOME") and isinstance(node, ast.Dict)
        )
        names = {ast.literal_eval(key) for key in homes.keys if key} | extra
        stub = Module(LIBRARY / folder / "__init__.pyi")
        assert names <= set(stub.names(stub.tree.body)), folder


def test_the_check_sees_differences(tmp_path: Path) -> None:
    source, stub = tmp_path / "a.py", tmp_path / "a.pyi"
    source.write_text(
        "X = 5\ndef f(a, b=X): pass\ndef g(): pass\nasync def h(): pass\n"
        "class C:\n    def m(self, x): self.y = 1\n    def n(self): pass\n"
    )
    stub.write_text(
        "def f(a, b=6): ...\ndef h(): ...\ndef i(): ...\n"
        "class C:\n    y: int\n    z: int\n    def m(self, z): ...\n"
    )
    assert list(differences(Module(source), Module(stub))) == [
        "g is not in the stub",
        "f: default of b is 5, in its stub 6",
        "h is async in the source",
        "i is only in the stub",
        "C.n is not in the stub",
        "C.z is only in the stub",
        "C.m has the parameters [('plain', 'self'), ('plain', 'x')], "
        "its stub [('plain', 'self'), ('plain', 'z')]",
    ]


def test_stubtest_agrees_where_cpython_can_import(tmp_path: Path) -> None:
    modules = [
        "kodkod." + name.replace("/", ".")
        for name in BOTH
        if (LIBRARY / "kodkod" / f"{name}.pyi").exists()
    ]
    allowed = tmp_path / "allowed"
    allowed.write_text(r"kodkod\..*\.const")
    options = ["--allowlist", str(allowed), "--ignore-unused-allowlist"]
    result = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", *options, *modules],
        env=dict(os.environ, PYTHONPATH=str(LIBRARY), MYPYPATH=str(LIBRARY)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert result.returncode == 0, result.stdout + result.stderr
