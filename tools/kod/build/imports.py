"""What a module imports, and under which conditions; read without running it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

_CATCHES = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}


@dataclass(frozen=True)
class Import:
    """One imported module: `import module` or `from module import names`."""

    module: str  # without the leading dots; "" in `from . import x`
    names: tuple[str, ...]  # what `from` takes; empty for a plain import
    level: int  # leading dots
    line: int
    column: int  # of the statement, in UTF-8 bytes, from 0
    optional: bool = False  # inside try/except ImportError
    instead_of: tuple[Import, ...] = ()  # in the except branch: what the try branch imports

    @property
    def is_dynamic(self) -> bool:
        """`__import__` of a computed name: it may be anything."""
        return not self.module and not self.level


@dataclass(frozen=True)
class _Where:
    optional: bool = False
    instead_of: tuple[Import, ...] = ()


def find(tree: ast.Module) -> list[Import]:
    """Every import of a module, also those inside functions, in the order of the source."""
    return list(_block(tree.body, _Where()))


def _block(nodes: list[ast.stmt], where: _Where) -> Iterator[Import]:
    for node in nodes:
        yield from _node(node, where)


def _node(node: ast.AST, where: _Where) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield _made(node, where, alias.name)
    elif isinstance(node, ast.ImportFrom):
        names = tuple(alias.name for alias in node.names)
        yield _made(node, where, node.module or "", names, node.level)
    elif isinstance(node, ast.Try) and any(map(_catches, node.handlers)):
        yield from _guarded(node, where)
    elif isinstance(node, ast.If) and _never(node.test):
        yield from _block(node.orelse, where)
    else:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            where = _Where(False, where.instead_of)  # runs later, outside the try
        elif isinstance(node, ast.Call):
            yield from _call(node, where)
        for child in ast.iter_child_nodes(node):
            yield from _node(child, where)


def _guarded(node: ast.Try, where: _Where) -> Iterator[Import]:
    body = list(_block(node.body, _Where(True, where.instead_of)))
    yield from body
    tried = tuple(one for one in body if one.optional)
    for handler in node.handlers:
        inner = _Where(where.optional, tried) if tried and _catches(handler) else where
        yield from _block(handler.body, inner)
    yield from _block(node.orelse + node.finalbody, where)


def _call(node: ast.Call, where: _Where) -> Iterator[Import]:
    if not isinstance(node.func, ast.Name) or node.func.id != "__import__" or not node.args:
        return
    name = node.args[0]
    if isinstance(name, ast.Constant) and isinstance(name.value, str) and len(node.args) < 5:
        yield _made(node, where, name.value)
    else:
        yield _made(node, where, "")


def _made(
    node: ast.stmt | ast.expr,
    where: _Where,
    module: str,
    names: tuple[str, ...] = (),
    level: int = 0,
) -> Import:
    return Import(
        module, names, level, node.lineno, node.col_offset, where.optional, where.instead_of
    )


def _catches(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(
        kind is None
        or (isinstance(kind, ast.Name) and kind.id in _CATCHES)
        or (isinstance(kind, ast.Attribute) and kind.attr in _CATCHES)
        for kind in kinds
    )


def _never(test: ast.expr) -> bool:
    """`if TYPE_CHECKING:`, `if False:`, `if 0:`: for other readers than the device."""
    if isinstance(test, ast.Constant):
        return not test.value
    name = getattr(test, "id", getattr(test, "attr", None))
    return name == "TYPE_CHECKING"


def scan(text: str) -> list[Import]:
    """The imports of a file that CPython cannot parse, line by line; none counts as optional."""
    found: list[Import] = []
    lines = text.split("\n")
    for at, line in enumerate(lines):
        if not re.match(r"[ \t]*(import|from)\b", line):
            continue
        statement = line.strip()
        following = at + 1
        while statement.count("(") > statement.count(")") and following < len(lines):
            statement += "\n" + lines[following]
            following += 1
        try:
            imports = find(ast.parse(statement))
        except SyntaxError:
            continue  # prose in a string, as a rule
        column = len(line.encode()) - len(line.lstrip().encode())
        found += [
            Import(one.module, one.names, one.level, at + 1, column + one.column)
            for one in imports
        ]
    return found


_RELATIVE = re.compile(
    rb"from((?:[ \t]|\\\n)*\.(?:[ \t.]|\\\n)*(?:[^\W\d]\w*(?:[ \t.]|\\\n|\w)*)?)\bimport\b"
)


def absolute(text: str, imports: list[Import], package: str) -> str:
    """`text` with its relative imports made absolute; every line stays where it was.

    MicroPython 1.26 cannot do relative imports where `__import__` was replaced.
    """
    relative = sorted({(one.line, one.column) for one in imports if one.level}, reverse=True)
    if not relative:
        return text
    data = text.encode()
    starts = [0] + [match.end() for match in re.finditer(rb"\n", data)]
    bases = {(one.line, one.column): base(one, package) for one in imports if one.level}
    for place in relative:
        start = starts[place[0] - 1] + place[1]
        match = _RELATIVE.match(data, start)
        name = bases[place]
        if match is None or name is None:
            continue
        breaks = b"\\\n" * match.group(1).count(b"\n")
        data = data[: match.start(1)] + b" " + name.encode() + b" " + breaks + data[match.end(1) :]
    return data.decode()


def base(one: Import, package: str) -> str | None:
    """The absolute name of the module that `one` names, seen from `package` ("" for none)."""
    if not one.level:
        return one.module
    parts = package.split(".") if package else []
    if one.level > len(parts):
        return None
    parts = parts[: len(parts) - one.level + 1]
    return ".".join([*parts, one.module] if one.module else parts)
