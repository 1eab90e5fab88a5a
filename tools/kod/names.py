"""Private names of the device library, given as names that the firmware has already.

MicroPython keeps each name of what it loads in the heap until the next reset: its letters, 8 bytes
and a place in a table that doubles when it is full (py/qstr.c). For this library as it is written
that is 18 KB of 160. A name that the firmware uses itself costs nothing, and one that every module
has for things of its own costs once. So names that nobody outside the library can see are changed
when it is compiled: the sources stay as they are, and `readable` turns a traceback back.

What can be seen keeps its name: what a `.pyi` declares, what programs around the library use, what
a text in it may look up, modules, and whatever an object that is not the library's may have.

`names.ini` has the firmware's names with what each is given to. What is given stays: so names are
the same from version to version, and an update need not send every file. After a change of the
library `make names` gives names to what has none, and takes back what nothing has any more.
"""

from __future__ import annotations

import ast
import builtins
import configparser
import itertools
import keyword
import re
import string
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from functools import cache
from pathlib import Path

TABLE = Path(__file__).with_name("names.ini")
_WORD = re.compile(r"[A-Za-z_]\w*")
_FRAME = re.compile(r'(File "kodkod[\w/.]*", line \d+, in )(\w+)')
_ODD = re.compile(r"[A-Z0-9_]*[0-9_][A-Z0-9_]*")
_PARTS = ("everywhere", "esp32")
_OWN = [f"_{letter}" for letter in string.ascii_letters]
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@cache
def parts() -> configparser.ConfigParser:
    """`names.ini`."""
    found = configparser.ConfigParser(allow_no_value=True)
    found.optionxform = str  # type: ignore[assignment,method-assign]  # capitals are others
    found.read_string(TABLE.read_text("utf-8"))
    return found


def given() -> dict[str, str]:
    """{private name: the firmware's name that it gets}."""
    return {mine: name for part in _PARTS for name, mine in parts()[part].items() if mine}


def firmware() -> set[str]:
    """Every name that is known to be one of the firmware's."""
    return {*parts()["everywhere"], *parts()["esp32"], *parts()["others"]["names"].split()}


def readable(text: str) -> str:
    """`text` with the library's functions in its tracebacks called as in the sources."""
    before = {name: mine for mine, name in given().items()}
    return _FRAME.sub(lambda found: found[1] + before.get(found[2], found[2]), text)


class Names:
    """The names of a library with the sources {path: text}: its modules, its `.pyi`, and what
    is not of it and uses it."""

    def __init__(self, sources: dict[str, str]) -> None:
        trees = {path: ast.parse(text) for path, text in sources.items()}
        modules = [path for path in trees if path.startswith("kodkod/") and path.endswith(".py")]
        files = {path: _File(trees[path]) for path in modules}
        kept = {*dir(builtins), *keyword.kwlist, *firmware()}
        kept.update(*(words(tree) for path, tree in trees.items() if path not in files))
        kept.update(*(file.words | file.constants for file in files.values()))
        kept.update(word for path in files for word in _WORD.findall(path))
        used = {name for tree in trees.values() for name in words(tree)}
        visible = {name for file in files.values() for name in file.visible}
        bound = {name for file in files.values() for name in file.bound}
        looked_up = tuple(name for name in kept if name[-1] == "_" and name.strip("_"))
        free = {name for name in bound - kept if not name.startswith(("__", *looked_up))}

        self._trees = {path: trees[path] for path in files}
        self._files = files
        self._typed = {path for path in files if path + "i" in trees}
        self._used = used
        functions = {name for file in files.values() for name in file.functions}
        self.private = free & (visible | functions)
        self._shared = {
            mine: name
            for mine, name in given().items()
            if mine in self.private and name not in used
        }
        rest = free - self.private  # what each module has for itself
        letters = [name for name in _OWN if name not in used]
        self._own = {
            path: dict(zip((n for n in file.own if n in rest), letters, strict=False))
            for path, file in files.items()
        }

    def compiled_from(self, path: str, but: Collection[str] = ()) -> str:
        """What is given to the compiler in place of the file `path`; of what is this file's alone
        names in `but` stay."""
        own = {name: letter for name, letter in self._own[path].items() if name not in but}
        return self._renamed(self._trees[path], own)

    def inside(self, program: str) -> str:
        """A program that uses what is private in the library, in the names that this has got."""
        return self._renamed(ast.parse(program), {})

    def given_to_all(self, host_only: Callable[[str], bool]) -> dict[str, str]:
        """`given()` as it is to be: names for the private names in what a device loads.

        An app may extend a class with a `.pyi`, and its service may have any method: names in
        such a file are given as what nobody calls his own.
        """
        found = {
            mine: name
            for mine, name in given().items()
            if mine in self.private and name not in self._used  # by now
        }
        seen = Counter(
            name
            for path, file in self._files.items()
            if not host_only(f"lib/{path}")
            for name in file.bound | file.visible
        )
        by_apps = {name for path in self._typed for name in self._files[path].bound}
        free = [
            n for part in _PARTS for n in parts()[part] if n not in {*found.values(), *self._used}
        ]
        odd = [name for name in free if _ODD.fullmatch(name)]
        plain = [name for name in free if name not in odd]
        for mine in sorted(self.private & set(seen) - set(found), key=lambda n: (-seen[n], n)):
            left = odd if mine in by_apps else plain or odd
            if left:
                found[mine] = left.pop(0)
        return found

    def _renamed(self, tree: ast.AST, own: dict[str, str]) -> str:
        return ast.unparse(_Renamed({**self._shared, **own}).visit(tree))


def words(tree: ast.AST) -> Iterator[str]:
    """Every name in a program."""
    for node in ast.walk(tree):
        for field in ("id", "attr", "arg", "name", "asname"):
            value = getattr(node, field, None)
            if isinstance(value, str):
                yield value


class _File:
    """The names of one file: those it has `bound`, those that are `visible` beyond it, what is
    its `own` and not only while it is compiled, the `words` of its texts, and `constants`."""

    def __init__(self, tree: ast.Module) -> None:
        self.bound: set[str] = set()
        self.visible: set[str] = set()
        self.words: set[str] = set()
        self.constants = {name for node in tree.body for name in _constants(node)}
        self.functions = {node.name for node in ast.walk(tree) if isinstance(node, _FUNCTIONS)}
        self.bound |= self.functions
        arguments: dict[str, None] = {}
        docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and node not in docstrings:
                self.words.update(_WORD.findall(_text(node.value)))
            elif isinstance(node, ast.Attribute):
                self.visible.add(node.attr)
                if isinstance(node.ctx, ast.Store):
                    self.bound.add(node.attr)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self.bound.add(node.id)
            elif isinstance(node, ast.arg):
                self.bound.add(node.arg)
                arguments[node.arg] = None
            elif isinstance(node, ast.keyword) and node.arg:
                self.visible.add(node.arg)
            elif isinstance(node, ast.ClassDef):
                self.visible.update(_bound_by(node.body))
            elif isinstance(node, ast.ImportFrom):
                self.visible.update(alias.name for alias in node.names)
                if node.names[0].name == "*":  # what it brings is used by its name alone
                    self.visible.update(words(tree))
        both = dict.fromkeys([*arguments, *_bound_by(tree.body)])
        self.own = list(both)


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else ""


def _constants(node: ast.stmt) -> Iterator[str]:
    # `_X = const(1)`: the compiler puts the value where the name stands, and drops the name.
    if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("const("):
        names = [one.id for one in node.targets if isinstance(one, ast.Name)]
        yield from (name for name in names if name[0] == "_")


def _bound_by(body: list[ast.stmt]) -> Iterator[str]:
    # The names that these statements bind in the scope in which they stand.
    for node in body:
        if isinstance(node, _FUNCTIONS):
            yield node.name
        elif isinstance(node, (ast.If, ast.Try, ast.For, ast.While, ast.With)):
            inside = [getattr(node, part, []) for part in ("body", "orelse", "finalbody")]
            inside += [handler.body for handler in getattr(node, "handlers", [])]
            yield from _bound_by(list(itertools.chain(*inside)))
            if isinstance(node, ast.For):
                yield from words(node.target)
        elif not isinstance(node, (ast.Import, ast.ImportFrom)):
            for one in ast.walk(node):
                if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store):
                    yield one.id


class _Renamed(ast.NodeTransformer):
    def __init__(self, names: dict[str, str]) -> None:
        self._names = names

    def visit(self, node: ast.AST) -> ast.AST:
        for field in ("id", "attr", "arg", "name", "asname"):
            name = getattr(node, field, None)
            if isinstance(name, str):
                setattr(node, field, self._names.get(name, name))
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            node.names = [self._names.get(name, name) for name in node.names]
        self.generic_visit(node)
        return node


def main() -> None:
    """Write to `names.ini` what each name is to be given to."""
    from kod import library
    from kod.flash.plan import is_host_only

    given_to = {
        name: mine for mine, name in Names(library.sources()).given_to_all(is_host_only).items()
    }
    lines = TABLE.read_text("utf-8").split("\n")
    heading = ""
    for at, line in enumerate(lines):
        heading = line if line.startswith("[") else heading
        name = line.partition(" = ")[0]
        if heading != "[others]" and _WORD.fullmatch(name):
            lines[at] = f"{name} = {given_to[name]}" if name in given_to else name
    TABLE.write_text("\n".join(lines), "utf-8")


if __name__ == "__main__":
    main()
