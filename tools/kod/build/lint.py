"""Warnings about what runs, but not as its author expects, beside other apps."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache

from .source import Source

_SHORT_MS = 10  # waits up to this are drivers' business
_SLEEPS = {"time.sleep": 1000.0, "time.sleep_ms": 1.0}
_MODULES = {"time", "asyncio", "machine"}
_OLD = {"utime": "time", "uasyncio": "asyncio", "umachine": "machine"}


@lru_cache(maxsize=256)
def warnings_of(source: Source) -> tuple[str, ...]:
    """One line each, `file:line: ...`, in the order of the source."""
    if source.tree is None:
        return ()
    imported = {_OLD.get(one.module, one.module) for one in source.imports}
    names = _names(source.tree) if imported & _MODULES else {}
    found = [*_threads(source)]
    if "time" in imported:
        found += _sleeps(source.tree, names)
    if "asyncio" in imported:
        found += _runs(source.tree.body, None, names)
    if "machine" in imported:
        found += _reserved(source.tree, names)
    return tuple(f"{source.shown}:{line}: {text}" for line, text in sorted(set(found)))


def _names(tree: ast.Module) -> dict[str, str]:
    """What the imported names of a module stand for: {"t": "time", "nap": "time.sleep"}."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                full = alias.name if alias.asname else alias.name.partition(".")[0]
                names[alias.asname or full] = _OLD.get(full, full)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            module = _OLD.get(node.module, node.module)
            for alias in node.names:
                names[alias.asname or alias.name] = f"{module}.{alias.name}"
    return names


def _full(node: ast.expr, names: dict[str, str]) -> str:
    """`t.sleep` as `time.sleep`; "" for what is no imported name."""
    if isinstance(node, ast.Name):
        return names.get(node.id, "")
    if isinstance(node, ast.Attribute):
        before = _full(node.value, names)
        return f"{before}.{node.attr}" if before else ""
    return ""


def _sleeps(
    node: ast.AST, names: dict[str, str], in_loop: bool = False
) -> Iterator[tuple[int, str]]:
    if isinstance(node, ast.Call) and in_loop:
        name = _full(node.func, names)
        if name in _SLEEPS and not _is_short(node, _SLEEPS[name]):
            short = name.rpartition(".")[2]
            yield (
                node.lineno,
                f"{name} in a loop stops every app while it sleeps: "
                f"use `await asyncio.{short}(..)`",
            )
    if isinstance(node, (ast.For, ast.AsyncFor, ast.While)):
        in_loop = True
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        in_loop = False
    for child in ast.iter_child_nodes(node):
        yield from _sleeps(child, names, in_loop)


def _is_short(call: ast.Call, to_ms: float) -> bool:
    value = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
    return isinstance(value, (int, float)) and value * to_ms <= _SHORT_MS


def _runs(
    block: list[ast.stmt], after: ast.stmt | None, names: dict[str, str]
) -> Iterator[tuple[int, str]]:
    """asyncio.run in a module's body: the body ends there, the coroutine goes on."""
    following = after
    for node in reversed(block):
        yield from _runs_in(node, following, names)
        following = node if _acts(node, names) else following


def _runs_in(
    node: ast.stmt, following: ast.stmt | None, names: dict[str, str]
) -> Iterator[tuple[int, str]]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return
    if not isinstance(node, (ast.If, ast.For, ast.While, ast.Try, ast.With)):
        call = _run_in(node, names)
        if call and following:
            yield (
                following.lineno,
                f"skipped: asyncio.run in line {call.lineno} is the end of a module's body; "
                "its coroutine goes on as the app",
            )
        return
    if isinstance(node, (ast.Try, ast.With)):
        yield from _left_at_once(node, names)
    inner = following
    if isinstance(node, ast.Try):
        inner = next((one for one in node.orelse if _acts(one, names)), following)
    yield from _runs(node.body, inner, names)
    yield from _runs(getattr(node, "orelse", []), following, names)


def _left_at_once(node: ast.Try | ast.With, names: dict[str, str]) -> Iterator[tuple[int, str]]:
    is_try = isinstance(node, ast.Try)
    if isinstance(node, ast.Try) and not node.finalbody:
        return
    inside = [*node.body, *getattr(node, "orelse", [])]
    call = next((found for one in inside if (found := _run_in(one, names))), None)
    if call:
        what = "its finally runs" if is_try else "the with is left"
        yield (
            call.lineno,
            f"asyncio.run here hands its coroutine over: {what} at once; "
            f"put the {'try' if is_try else 'with'} inside the coroutine",
        )


def _run_in(node: ast.AST, names: dict[str, str]) -> ast.Call | None:
    """The call of asyncio.run that runs when `node` does."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        return None
    if isinstance(node, ast.Call) and _full(node.func, names) == "asyncio.run":
        return node
    for child in ast.iter_child_nodes(node):
        found = _run_in(child, names)
        if found:
            return found
    return None


def _acts(node: ast.stmt, names: dict[str, str]) -> bool:
    """Whether a statement does something that an author would miss."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Pass)):
        return False
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return _full(node.value.func, names) != "asyncio.new_event_loop"
    return not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def _reserved(tree: ast.Module, names: dict[str, str]) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or _full(node.func, names) != "machine.Timer":
            continue
        first = node.args[0] if node.args else None
        if isinstance(first, ast.Constant) and first.value == 0:
            yield node.lineno, "machine.Timer(0) is Kodkod's own: use another, as machine.Timer(1)"


def _threads(source: Source) -> Iterator[tuple[int, str]]:
    for one in source.imports:
        if one.module == "_thread" and not one.optional and not one.level:
            yield one.line, "_thread is refused on a device: use asyncio tasks"
