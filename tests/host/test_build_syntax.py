"""A program that does not compile: file, line, source line and caret; nothing is built."""

from __future__ import annotations

from pathlib import Path

import pytest
from building import build, refused
from kod.build import compile as compiling


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOD_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("text", "line", "marked"),
    [
        ("x = 1\nfor i in range(3) print(i)\n", 2, "print(i)"),
        ("x = 1\n\nx = (1,\n", 3, "(1,"),
        ("def f():\n    x\n  y\n", 3, None),
        ("def f():\nx\n", 2, "x"),
        ("x = 'abc\n", 1, "'abc"),
        ("x = 1\nreturn x\n", 2, "return x"),
        ("def f(): pass\n\nx = await f()\n", 3, "await f()"),
        ("if x:\n    y = 1\n    break\n", 3, "break"),
        ("x = 1\n1 = x\n", 2, "1 = x"),
        ("x = '''\nnever\nended\n", 1, "'''"),
        ("x = 0777\n", 1, None),
        ("f(a=1, 2)\n", 1, None),
        ("\tif x:\n", 1, None),
    ],
)
def test_it_is_shown_with_its_place(
    tmp_path: Path, text: str, line: int, marked: str | None
) -> None:
    error = refused(tmp_path, {"app.py": text})
    assert str(error).startswith(f"app.py:{line}: ")
    assert error.file == "app.py"
    assert error.line == line
    source, caret = error.detail.split("\n")
    assert source == "    " + text.split("\n")[line - 1]
    assert caret.endswith("^")
    if marked:
        assert source[len(caret) - 1 :].startswith(marked)
        assert error.column == len(caret) - 4


def test_a_mistake_in_an_imported_file_names_that_file(tmp_path: Path) -> None:
    error = refused(tmp_path, {"app.py": "import lib_a\n", "lib/lib_a.py": "x = 1\ny = = 2\n"})
    assert str(error).startswith("lib/lib_a.py:2: ")
    assert error.detail.endswith("    y = = 2\n        ^")


def test_a_caret_stands_right_behind_tabs_and_other_letters(tmp_path: Path) -> None:
    error = refused(tmp_path, {"app.py": "if 1:\n\tä = = 2\n"})
    assert error.detail == "    \tä = = 2\n    \t    ^"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("x = 1\nmatch x:\n    case 1:\n        pass\n", 2, "no match statement"),
        ("import micropython\n@micropython.native\ndef f(): pass\n", 2, "depend on the chip"),
    ],
)
def test_what_micropython_lacks_is_said(tmp_path: Path, text: str, line: int, said: str) -> None:
    error = refused(tmp_path, {"app.py": text})
    assert error.line == line
    assert said in str(error)


def test_mpy_cross_decides_what_is_a_mistake(tmp_path: Path) -> None:
    """CPython refuses this file, MicroPython takes it; its imports are followed all the same."""
    text = (
        "import util\ndef f():\n    from pkg import (\n        a,\n    )\n"
        "text = '''\nfrom the start\n'''\nimport pkg.b; x = 1\nx = 1__000\n"
    )
    files: dict[str, str | bytes] = {"util.py": "", "pkg/__init__.py": "", "pkg/a.py": ""}
    files["pkg/b.py"] = ""
    with pytest.raises(SyntaxError):
        compile(text, "app.py", "exec")
    image = build(tmp_path, {**files, "app.py": text})
    assert {"util.mpy", "pkg/a.mpy", "pkg/b.mpy"} <= set(image.files)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"x = 1\ny = '\xff'\n", "app.py:2: this line is not UTF-8"),
        (b"x = 1\ny\0\n", "app.py:2: there is a NUL byte"),
    ],
)
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, data: bytes, said: str) -> None:
    assert str(refused(tmp_path, {"app.py": data})).startswith(said)


def test_nesting_too_deep_is_one_line(tmp_path: Path) -> None:
    refused(tmp_path, {"app.py": "x = " + "(" * 5000 + "\n"})


def test_a_source_of_half_a_megabyte_compiles(tmp_path: Path) -> None:
    text = "x = 0\n" + "x = x + 1  # again\n" * 30_000
    assert len(build(tmp_path, {"app.py": text}).data) > 100_000


def test_many_modules_are_compiled_in_their_order(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {f"m{n}.py": f"X = 'module {n}'\n" for n in range(20)}
    image = build(tmp_path, {**files, "app.py": "import " + ", ".join(f"m{n}" for n in range(20))})
    assert all(f"module {n}".encode() in image.files[f"m{n}.mpy"] for n in range(20))


def test_a_compiler_that_does_not_end_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setattr(compiling, "mpy_cross", lambda: str(slow))
    monkeypatch.setattr(compiling, "_TIMEOUT_S", 0.2)
    assert "was not done after" in str(refused(tmp_path, {"app.py": "x = 1\n"}))


def test_a_compiler_that_cannot_be_started_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "no").write_text("")
    monkeypatch.setattr(compiling, "mpy_cross", lambda: str(tmp_path / "no"))
    assert "cannot be started" in str(refused(tmp_path, {"app.py": "x = 1\n"}))
