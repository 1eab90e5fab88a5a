"""Private names of the library are the firmware's own in what is compiled, and nobody sees it."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sysconfig
from functools import cache
from pathlib import Path

import pytest
from kod import library, micropython, names
from kod.flash.plan import is_host_only

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "tests" / "unit"
STUBS = Path(sysconfig.get_paths()["purelib"])

# Of ports/esp32, extmod/modbluetooth.c, modtls_mbedtls.c and modos.c: arguments and keys that the
# stubs do not name.
MISSED_BY_STUBS = [
    "addr_mode",
    "authmode",
    "bond",
    "cts",
    "dhcp_hostname",
    "do_handshake_on_connect",
    "essid",
    "falling",
    "gap_name",
    "getpeercert",
    "ifname",
    "le_secure",
    "max_clients",
    "mitm",
    "mtu",
    "nodename",
    "peers_table",
    "reconnects",
    "rising",
    "rssi",
    "rts",
    "server_hostname",
    "server_side",
    "stations",
    "sysname",
    "txpower",
    "username",
    "verify_mode",
]


@cache
def of_the_library() -> names.Names:
    return names.Names(library.sources())


@cache
def in_stubs() -> set[str]:
    record = next(STUBS.glob("micropython_esp32_stubs*")) / "RECORD"
    paths = [line.split(",")[0] for line in record.read_text().splitlines()]
    trees = [ast.parse((STUBS / path).read_text()) for path in paths if path.endswith(".pyi")]
    return {word for tree in trees for word in names.words(tree)}


def small(**modules: str) -> names.Names:
    """A library of its own: a name `a__pyi` is a.pyi."""
    files = {name.replace("__pyi", ".pyi"): text for name, text in modules.items()}
    return names.Names(
        {f"kodkod/{name}" if "." in name else f"kodkod/{name}.py": t for name, t in files.items()}
    )


# The table


def test_each_private_name_has_one_name_of_the_firmware_and_no_two_have_the_same() -> None:
    given = names.given()
    assert len(set(given.values())) == len(given) > 400


def test_what_is_given_is_free_to_have_any_meaning() -> None:
    given = set(names.given().values())
    used = {name for text in library.sources().values() for name in names.words(ast.parse(text))}
    assert not given & used
    assert not [name for name in given if name[0] == "_"]


def test_names_that_every_build_has_cost_nothing() -> None:
    everywhere = names.parts()["everywhere"]
    script = "import micropython\n" + "\n".join(f"lambda x: x.{name}" for name in everywhere)
    out = subprocess.run(
        [*micropython.command(), "-c", f"{script}\nmicropython.qstr_info(1)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    dynamic = re.findall(r"^Q\((\w+)\)$", out, re.MULTILINE)
    assert set(everywhere) & set(dynamic) == set()
    assert "n_qstr=" in out


def test_names_of_every_esp32_are_in_the_published_stubs_or_the_c_sources() -> None:
    assert set(names.parts()["esp32"]) - in_stubs() - set(MISSED_BY_STUBS) == set()


def test_what_a_thing_of_the_firmware_is_called_is_given_to_nothing_and_keeps_its_name() -> None:
    assert set(names.given()) & names.firmware() == set()
    assert set(names.given()) & in_stubs() == set()


def test_every_private_name_that_a_device_loads_has_been_given_one_while_there_are_some() -> None:
    given = of_the_library().given_to_all(is_host_only)
    assert given == names.given(), "make names writes them down"


# What keeps its name


def test_what_an_app_may_use_keeps_its_name() -> None:
    declared = set()
    for path, text in library.sources().items():
        if path.endswith(".pyi"):
            declared |= set(names.words(ast.parse(text)))
    assert {"ServiceClient", "on_notified", "Channel", "timeout_ms"} <= declared
    assert not declared & of_the_library().private


def test_what_starts_and_renews_the_library_finds_it() -> None:
    private = of_the_library().private
    for name in ("boot.py", "main.py", "on_device.py"):
        assert not set(names.words(ast.parse(library.sources()[name]))) & private


@pytest.mark.parametrize(
    "text",
    [
        "class A:\n    def __init__(self):\n        self.secret = getattr(self, 'secret', 0)\n",
        "class A:\n    secret = 1\nwords = 'one secret two'.split()\n",
        "class A:\n    def do_secret(self):\n        pass\ndef f(a, b):\n"
        "    return getattr(a, 'do_' + b)\n",
        "class A:\n    def secret(self):\n        '''secret'''\n        return b'secret'\n",
    ],
)
def test_what_a_text_may_look_up_keeps_its_name(text: str) -> None:
    name = "do_secret" if "do_secret" in text else "secret"
    assert name not in small(a=text).private
    assert ast.dump(ast.parse(small(a=text).compiled_from("kodkod/a.py"))).count(name)


def test_a_docstring_looks_nothing_up() -> None:
    text = "class A:\n    def secret(self):\n        'The secret.'\n"
    assert "secret" in small(a=text).private


# What does not


def test_what_a_module_has_for_itself_gets_letters_and_each_module_the_same() -> None:
    text = "_mood = None\ndef run(humour):\n    global _mood\n    _mood = humour\n"
    both = small(a=text, b=text.replace("humour", "temper"))
    expected = "_b = None\n\ndef run(_a):\n    global _b\n    _b = _a"
    assert both.compiled_from("kodkod/a.py") == expected
    assert both.compiled_from("kodkod/b.py") == expected


def test_constants_that_the_compiler_folds_stay_constants() -> None:
    text = "from micropython import const\n_SIZE = const(4)\nclass A:\n    _SIZE_ = _SIZE\n"
    assert "_SIZE = const(4)" in small(a=text).compiled_from("kodkod/a.py")


def test_private_names_mean_the_same_in_every_module() -> None:
    trees = {
        path: (ast.parse(text), ast.parse(of_the_library().compiled_from(path)))
        for path, text in library.sources().items()
        if path.startswith("kodkod/") and path.endswith(".py")
    }
    means: dict[str, str] = {}
    for before, after in trees.values():
        for old, new in zip(ast.walk(before), ast.walk(after), strict=True):
            assert type(old) is type(new)
            if isinstance(old, ast.Attribute) and isinstance(new, ast.Attribute):
                assert means.setdefault(new.attr, old.attr) == old.attr
    assert set(means) & set(names.given().values())


# Seen from outside


def test_a_traceback_is_read_as_it_is_in_the_sources() -> None:
    text = 'Traceback:\n  File "kodkod/apps", line 1, in {}\n  File "{}.py", line 1, in {}\n'
    for mine, given in names.given().items():
        assert names.readable(text.format(given, given, given)) == text.format(mine, given, given)


@pytest.mark.parametrize("file", ["test_esp32_boot", "test_esp32_lane", "test_network"])
def test_an_esp32_runs_what_is_compiled(file: str, tmp_path: Path) -> None:
    """The device's own tests on the fakes of an ESP32, library and tests in the given names."""
    peeked = {
        node.attr
        for path in UNIT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
    }
    whole = names.Names(library.sources())
    for path in [path for path in library.sources() if path.startswith("kodkod/")]:
        if path.endswith(".py"):
            write(tmp_path / "lib" / path, whole.compiled_from(path, but=peeked))
    for source in UNIT.rglob("*.py"):
        text = source.read_text()
        if source.parent.name != "harness":
            text = whole.inside(text)
        write(tmp_path / "unit" / source.relative_to(UNIT), text)
    tests = re.findall(r"^(?:async )?def (test_\w+)", (UNIT / f"{file}.py").read_text(), re.M)
    # These compare names, or have an app's source that looks into the library.
    strange = ("same_names", "names_of_stock", "callbacks_run_as_steps")
    tests = [name for name in tests if not any(part in name for part in strange)]
    result = subprocess.run(
        [*micropython.command(), "-X", "heapsize=4m", "harness/run.py", file, "0", *tests],
        cwd=tmp_path / "unit",
        env={**os.environ, "MICROPYPATH": f"{tmp_path}/lib:{tmp_path}/unit:.frozen"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.stdout.count("end passed") == len(tests) > 0, result.stdout[-3000:]


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
