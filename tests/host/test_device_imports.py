"""How the device library imports: what MicroPython 1.26 wants of it."""

from __future__ import annotations

import ast
from pathlib import Path

LIBRARY = Path(__file__).parents[2] / "lib" / "kodkod"


def test_the_library_imports_by_absolute_names_alone() -> None:
    # The kernel replaces __import__. Before MicroPython 1.27 a relative import that passes a
    # replaced one is looked up beside the replacement, and is not found.
    relative = [
        f"{path.relative_to(LIBRARY)}:{node.lineno}"
        for path in sorted(LIBRARY.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not relative
