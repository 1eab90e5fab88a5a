"""Which modules go along with a program, and what is said about those that are nowhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from building import build, refused
from kod.build.device import AskedDevice, Device


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOD_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def modules(folder: Path, files: dict[str, str | bytes], **how: object) -> list[str]:
    image = build(folder, files, **how)  # type: ignore[arg-type]
    return [name.removesuffix(".mpy") for name in image.files if name != "app.mpy"]


PKG: dict[str, str | bytes] = {
    "pkg/__init__.py": "",
    "pkg/a.py": "",
    "pkg/b.py": "",
    "pkg/sub/__init__.py": "",
    "pkg/sub/c.py": "",
}


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("import pkg", ["pkg/__init__"]),
        ("import pkg.a", ["pkg/__init__", "pkg/a"]),
        ("import pkg.a as x, pkg.b", ["pkg/__init__", "pkg/a", "pkg/b"]),
        ("import pkg.sub.c as c", ["pkg/__init__", "pkg/sub/__init__", "pkg/sub/c"]),
        ("from pkg import a", ["pkg/__init__", "pkg/a"]),
        ("from pkg import (\n  a,\n  b as y,\n)", ["pkg/__init__", "pkg/a", "pkg/b"]),
        ("from pkg import version", ["pkg/__init__"]),
        ("from pkg.a import *", ["pkg/__init__", "pkg/a"]),
        ("from pkg.sub import c", ["pkg/__init__", "pkg/sub/__init__", "pkg/sub/c"]),
        ("def f():\n    import pkg.a", ["pkg/__init__", "pkg/a"]),
        ("class C:\n  async def f(self):\n    from pkg import a", ["pkg/__init__", "pkg/a"]),
        ("if x:\n  pass\nelse:\n  import pkg", ["pkg/__init__"]),
        ("x = __import__('pkg.a')", ["pkg/__init__", "pkg/a"]),
        ("import asyncio, kodkod, machine, json, ujson", []),
        ("from kodkod.services import x; import umqtt.simple, asyncio.core, usys", []),
    ],
)
def test_what_is_imported_goes_along(tmp_path: Path, statement: str, expected: list[str]) -> None:
    assert modules(tmp_path, {**PKG, "app.py": statement}) == expected


def test_imports_of_imports_go_along_also_in_a_circle(tmp_path: Path) -> None:
    files = {"app.py": "import a", "a.py": "import b", "b.py": "import a, app"}
    assert modules(tmp_path, files) == ["a", "b"]


def test_relative_imports_are_followed(tmp_path: Path) -> None:
    files = {
        **PKG,
        "app.py": "import pkg.sub",
        "pkg/sub/__init__.py": "from .c import x\nfrom .. import a\n",
        "pkg/a.py": "from . import b as bee\n",
    }
    expected = ["pkg/__init__", "pkg/a", "pkg/b", "pkg/sub/__init__", "pkg/sub/c"]
    assert modules(tmp_path, files) == expected


def test_relative_imports_become_absolute_and_every_line_stays(tmp_path: Path) -> None:
    files = {
        **PKG,
        "app.py": "import pkg.sub.c",
        "pkg/sub/c.py": (
            "'ä'; from . import (  # one\n  d,\n)\n"
            "from .. \\\n import \\\n a\n"
            "def f():\n"
            "\tfrom .d import x as y; from..b import(x)\n"
            "text = 'from . import nothing'\n"
            "from .d import_me as z\n".replace("import_me", "import me")
        ),
        "pkg/sub/d.py": "",
    }
    image = build(tmp_path, files, source=True)
    assert image.files["pkg/sub/c.py"].decode() == (
        "'ä'; from pkg.sub import (  # one\n  d,\n)\n"
        "from pkg \\\nimport \\\n a\n"
        "def f():\n"
        "\tfrom pkg.sub.d import x as y; from pkg.b import(x)\n"
        "text = 'from . import nothing'\n"
        "from pkg.sub.d import me as z\n"
    )


def test_a_relative_import_outside_a_package_is_refused(tmp_path: Path) -> None:
    error = refused(tmp_path, {"app.py": "\nfrom . import x\n", "x.py": ""})
    assert str(error).startswith("app.py:2: a relative import works only inside a package")


def test_a_relative_import_beyond_the_package_is_refused(tmp_path: Path) -> None:
    error = refused(tmp_path, {**PKG, "app.py": "import pkg.a", "pkg/a.py": "from .. import x\n"})
    assert str(error) == "pkg/a.py:1: a relative import reaches beyond its package"


def test_a_module_that_is_nowhere_is_refused_with_its_place(tmp_path: Path) -> None:
    error = refused(
        tmp_path, {"app.py": "import asyncio\n\nimport util\n", "util.py": "import no"}
    )
    assert str(error) == (
        "util.py:1: module 'no' is not beside the program, in lib/, on the device "
        "or in a package of kodkod.toml"
    )
    assert (error.file, error.line) == ("util.py", 1)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("import pkg.no", "module 'pkg.no' is not in pkg"),
        ("import pkg.a.no", "module 'pkg.a.no' is not in pkg.a"),
        ("from pkg.no import x", "module 'pkg.no' is not in pkg"),
        ("import asyncio.no", "module 'asyncio.no' is not in asyncio"),
        ("def f():\n  import no", "app.py:2: module 'no' is not"),
        ("try:\n  import no\nexcept ValueError:\n  pass", "app.py:2: module 'no' is not"),
        ("from plain import no", "module 'plain.no' is not in plain"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, statement: str, said: str) -> None:
    assert said in str(refused(tmp_path, {**PKG, "app.py": statement, "plain/x.py": ""}))


@pytest.mark.parametrize(
    "handler", ["ImportError", "(OSError, ImportError)", "Exception", "builtins.ImportError", ""]
)
def test_a_missing_module_inside_try_except_is_only_warned_of(
    tmp_path: Path, handler: str
) -> None:
    text = f"try:\n    import no.such\nexcept {handler}:\n    x = None\n"
    image = build(tmp_path, {"app.py": text})
    assert image.warnings == ["app.py:2: module 'no.such' was not found; the except branch runs"]


def test_that_typing_is_absent_is_no_news(tmp_path: Path) -> None:
    text = "try:\n    from typing import Any\nexcept ImportError:\n    pass\n"
    assert build(tmp_path, {"app.py": text}).warnings == []


def test_what_is_imported_for_type_checkers_is_left_out(tmp_path: Path) -> None:
    text = "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from typing import Any\n"
    assert modules(tmp_path, {"app.py": text}) == []


def test_a_module_that_is_there_goes_along_from_inside_a_try(tmp_path: Path) -> None:
    text = "try:\n    import util\nexcept ImportError:\n    pass\n"
    assert modules(tmp_path, {"app.py": text, "util.py": ""}) == ["util"]


def test_the_except_branch_counts_when_the_try_branch_is_missing(tmp_path: Path) -> None:
    text = "try:\n    import no\nexcept ImportError:\n    import {}\n"
    assert modules(tmp_path, {"app.py": text.format("util"), "util.py": ""}) == ["util"]
    assert "'neither'" in str(refused(tmp_path, {"app.py": text.format("neither")}))


def test_the_except_branch_of_a_module_that_is_there_is_left_out(tmp_path: Path) -> None:
    text = "try:\n    import machine\nexcept ImportError:\n    import fake\n"
    files: dict[str, str | bytes] = {"app.py": text, "fake.py": "import unittest.mock\n"}
    assert modules(tmp_path, files) == []
    assert build(tmp_path, files).warnings == []


def test_what_is_not_needed_is_not_even_read(tmp_path: Path) -> None:
    text = "try:\n    import machine\nexcept ImportError:\n    import fake\n"
    files: dict[str, str | bytes] = {"app.py": text, "fake.mpy": b"no .mpy file"}
    asked = AskedDevice("desk", lambda names: names, {})
    assert build(tmp_path, files, builtins=asked).sources == (tmp_path / "app.py",)
    assert set(asked.known) == {"machine"}


def test_the_except_branch_of_a_name_that_may_be_missing_goes_along(tmp_path: Path) -> None:
    text = "try:\n    from time import ticks_ms\nexcept ImportError:\n    from compat import t\n"
    files: dict[str, str | bytes] = {"app.py": text, "compat.py": "import threading\n"}
    assert modules(tmp_path, files) == ["compat"]


def test_the_project_is_the_folder_of_the_nearest_kodkod_toml(tmp_path: Path) -> None:
    files = {"kodkod.toml": "", "lib/far.py": "", "apps/x/app.py": "import far, near"}
    files["apps/x/near.py"] = ""
    image = build(tmp_path, dict(files), "apps/x/app.py")
    assert sorted(image.files) == ["app.mpy", "far.mpy", "near.mpy"]
    assert b"apps/x/near.py" in image.files["near.mpy"]
    assert b"lib/far.py" in image.files["far.mpy"]


def test_without_one_it_is_the_folder_of_the_program(tmp_path: Path) -> None:
    image = build(tmp_path, {"x/app.py": "import far", "x/lib/far.py": ""}, "x/app.py")
    assert b"lib/far.py" in image.files["far.mpy"]


def test_the_project_can_be_named(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"x/app.py": "import far", "lib/far.py": ""}
    image = build(tmp_path, files, "x/app.py", project=tmp_path)
    assert b"x/app.py" in image.files["app.mpy"]


def test_a_file_beside_the_program_goes_before_lib(tmp_path: Path) -> None:
    image = build(
        tmp_path,
        {"app.py": "import util", "util.py": "x='near'", "lib/util.py": "x='far'"},
        source=True,
    )
    assert image.files["util.py"] == b"x='near'"


def test_a_package_goes_before_a_module_of_the_same_name(tmp_path: Path) -> None:
    files = {"app.py": "import util", "util.py": "", "util/__init__.py": ""}
    assert modules(tmp_path, dict(files)) == ["util/__init__"]


def test_a_module_goes_before_a_plain_folder_of_the_same_name(tmp_path: Path) -> None:
    files = {"app.py": "import util", "lib/util.py": "", "util/notes.py": ""}
    assert modules(tmp_path, dict(files)) == ["util"]


def test_a_plain_folder_of_modules_is_a_package(tmp_path: Path) -> None:
    assert modules(tmp_path, {"app.py": "from d import x", "d/x.py": ""}) == ["d/x"]


def test_upper_and_lower_case_are_told_apart(tmp_path: Path) -> None:
    assert "'util'" in str(refused(tmp_path, {"app.py": "import util", "Util.py": ""}))


def test_a_file_of_the_project_goes_before_the_device_and_is_said(tmp_path: Path) -> None:
    image = build(tmp_path, {"app.py": "import ntptime", "lib/ntptime.py": ""})
    assert list(image.files) == ["app.mpy", "ntptime.mpy"]
    assert image.warnings == ["app.py:1: module 'ntptime' is lib/ntptime.py, not the device's"]


def test_a_file_cannot_go_before_what_is_built_into_the_firmware(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "app.py": "import math, kodkod",
        "math.py": "",
        "kodkod.py": "",
    }
    assert modules(tmp_path, files) == []


def test_a_plain_folder_does_not_hide_a_module_of_the_device(tmp_path: Path) -> None:
    assert modules(tmp_path, {"app.py": "import machine", "machine/notes.py": ""}) == []


def test_a_package_of_which_only_a_part_is_the_device_s_is_refused(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "app.py": "import umqtt.simple\nimport umqtt.mine\n",
        "umqtt/mine.py": "",
    }
    assert "the app's own 'umqtt' hides it" in str(refused(tmp_path, files))


def test_a_part_that_nobody_has_of_a_folder_of_the_device_is_refused(tmp_path: Path) -> None:
    assert modules(tmp_path, {"app.py": "from umqtt import simple"}) == []
    error = refused(tmp_path, {"app.py": "from umqtt import simple, no"})
    assert "module 'umqtt.no' is not in umqtt" in str(error)


def test_what_the_device_said_that_it_has_decides(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"app.py": "import neopixel, frozen_thing.part"}
    assert "neopixel" in str(refused(tmp_path, files, builtins=["frozen_thing/part"]))
    assert modules(tmp_path, files, builtins=["frozen_thing/part", "neopixel"]) == []


def test_module_names_are_understood_as_a_device_lists_them() -> None:
    device = Device(["asyncio/__init__", "umqtt/simple", "json", "sys"])
    assert all(map(device.has, ["asyncio", "asyncio.core", "umqtt", "umqtt.simple", "ujson"]))
    assert all(map(device.has, ["kodkod", "kodkod.services.client"]))
    assert not any(map(device.has, ["umqtt.other", "machine", "neopixel"]))


def test_a_ready_mpy_goes_along_as_it_is(tmp_path: Path) -> None:
    ready = b"M\x06\x00\x1f\x00\x00"
    image = build(tmp_path, {"app.py": "import fast", "fast.mpy": ready})
    assert image.files["fast.mpy"] == ready
    assert "fast.mpy: is no .mpy file" in str(refused(tmp_path, {"fast.mpy": b"nonsense"}))
    assert "fast.mpy is .mpy version 5" in str(
        refused(tmp_path, {"fast.mpy": b"M\x05" + ready[2:]})
    )


def test_a_package_that_loads_its_parts_by_computed_names_gets_all_of_them(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        **PKG,
        "app.py": "import pkg",
        "pkg/__init__.py": "def __getattr__(n):\n    return __import__(n, None, None, True, 1)\n",
        "pkg/b.py": "import cpython_only\n",
    }
    expected = ["pkg/__init__", "pkg/a", "pkg/b", "pkg/sub/__init__"]
    assert modules(tmp_path, files) == expected
    assert build(tmp_path, files).warnings == []


def test_a_computed_import_elsewhere_is_warned_of(tmp_path: Path) -> None:
    image = build(tmp_path, {"app.py": "x = 'a'\n__import__(x)\n"})
    assert image.warnings == ["app.py:2: what __import__ loads here is not known to the build"]


@pytest.mark.parametrize(
    "guard",
    [
        'if __name__ == "__main__":',
        "if '__main__' == __name__:",
        'if (__name__ == "__main__"):  # "é"',
        'x = "é"; y = __name__\nif __name__=="__main__":',
    ],
)
def test_a_program_is_the_main_one_and_starts_itself(tmp_path: Path, guard: str) -> None:
    text = f"def main():\n    print('once')\n{guard}\n    main()\n"
    image = build(tmp_path, {"app.py": text}, source=True)
    packed = image.files["app.py"].decode()
    assert image.manifest["script"] is True
    assert '"__main__"' in packed.split("\n")[-3]
    assert packed.count("\n") == text.count("\n")
    assert len(re.findall("__name__", packed)) == len(re.findall("__name__", text)) - 1


@pytest.mark.parametrize(
    "text",
    [
        "def main():\n    pass\n",
        "print(__name__)\n",
        "if __name__ != '__main__':\n    pass\n",
        "def f():\n    if __name__ == '__main__':\n        pass\n",
        "'''\nif __name__ == '__main__':\n'''\n",
    ],
)
def test_any_other_program_is_a_module_and_stays_as_it_is(tmp_path: Path, text: str) -> None:
    image = build(tmp_path, {"app.py": text}, source=True)
    assert "script" not in image.manifest
    assert image.files["app.py"].decode() == text


def test_a_module_that_is_imported_is_not_the_main_one(tmp_path: Path) -> None:
    part = "if __name__ == '__main__':\n    1 / 0\n"
    image = build(tmp_path, {"app.py": "import part\n", "part.py": part}, source=True)
    assert image.files["part.py"].decode() == part
    assert "script" not in image.manifest
