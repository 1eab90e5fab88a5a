"""How the device library imports, and that one module alone calls the file system."""

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


def _imports(folder: str) -> set[str]:
    """The parts of the library that one of its parts imports."""
    found = set()
    for path in (LIBRARY / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module == "kodkod":
                names = [one.name for one in node.names]
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("kodkod."):
                names = [str(node.module).split(".")[1]]
            elif isinstance(node, ast.Import):
                names = [one.name.split(".")[1] for one in node.names if "kodkod." in one.name]
            found.update(names)
    return found


def test_services_know_nothing_of_apps_storage_or_links() -> None:
    assert _imports("services") == {"errors", "message", "services", "signal"}


# What else may: the platform's own part, and the view of `os` and `open` that apps get.
_FILE_SYSTEM = ("storage/flash.py", "port/", "apps/files.py")
_CALLS = {"listdir", "ilistdir", "mkdir", "remove", "rename", "rmdir", "stat", "statvfs", "unlink"}


def _file_system_calls(path: Path) -> list[str]:
    """`open(...)` of its own, and what is taken of `os`."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        name = ""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            name = node.func.id if node.func.id == "open" else ""
        elif isinstance(node, ast.Attribute) and getattr(node.value, "id", "") in ("os", "_os"):
            name = node.attr if node.attr in _CALLS else ""
        elif isinstance(node, ast.ImportFrom) and node.module in ("os", "io", "builtins"):
            taken = {one.name for one in node.names} & (_CALLS | {"open"})
            name = ", ".join(sorted(taken))
        if name:
            found.append(f"{path.relative_to(LIBRARY)}:{node.lineno}: {name}")
    return found


def test_every_call_of_the_file_system_goes_through_one_module() -> None:
    paths = [
        path
        for path in sorted(LIBRARY.rglob("*.py"))
        if not path.relative_to(LIBRARY).as_posix().startswith(_FILE_SYSTEM)
    ]
    # The loader's hook hands an app's or the library's open() on: it opens nothing itself.
    calls = [one for path in paths for one in _file_system_calls(path)]
    assert [one for one in calls if not one.startswith("apps/loader.py")] == []
    assert [one.rpartition(" ")[2] for one in calls] == ["open"]
