"""A program that asks `if __name__ == "__main__":`.

On a device its name is that of its file; it is the main program all the same, as it is under
`mpremote run`.
"""

from __future__ import annotations

import ast

_NAME = b"__name__"


def guards(tree: ast.Module | None) -> list[ast.Name]:
    """Where the module's body asks for it: the `__name__` of each such `if`."""
    found = []
    for node in tree.body if tree else []:
        test = node.test if isinstance(node, ast.If) else None
        if isinstance(test, ast.Compare) and [type(one) for one in test.ops] == [ast.Eq]:
            sides = test.left, *test.comparators
            names = [one for one in sides if isinstance(one, ast.Name) and one.id == "__name__"]
            if names and any(getattr(one, "value", None) == "__main__" for one in sides):
                found += names
    return found


def as_main(text: str, found: list[ast.Name]) -> str:
    """`text` with these questions answered; every line stays where it was."""
    lines = text.encode().split(b"\n")
    for name in found:
        line, at = lines[name.lineno - 1], name.col_offset
        if line[at : at + len(_NAME)] == _NAME:
            lines[name.lineno - 1] = line[:at] + b'"__main__"' + line[at + len(_NAME) :]
    return b"\n".join(lines).decode()
