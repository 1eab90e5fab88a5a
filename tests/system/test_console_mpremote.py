"""Stock mpremote on the console of a device whose apps go on talking to each other."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from console_lab import Talk, talking


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talk]:
    with talking(tmp_path_factory.mktemp("talk"), chatty=True) as talk:
        yield talk


@pytest.fixture(autouse=True)
def _apps_go_on(talk: Talk) -> Iterator[None]:
    with talk.going_on():
        yield


def test_exec_prints_and_a_traceback_is_an_exit_code(talk: Talk) -> None:
    assert talk.mpremote("exec", "print(1 + 1)") == "2\n"
    out = talk.mpremote("exec", "def f():\n 1 / 0\nf()", code=1)
    assert 'File "<stdin>", line 2, in f\nZeroDivisionError' in out
    assert "kodkod" not in out
    assert "SyntaxError" in talk.mpremote("exec", "def f(:", code=1)


def test_eval_answers_with_a_value(talk: Talk) -> None:
    assert talk.mpremote("eval", "'x' * 3") == "xxx\n"


def test_a_namespace_lasts_until_the_soft_reset(talk: Talk) -> None:
    assert talk.mpremote("exec", "a = 5", "exec", "print(a)") == "5\n"
    assert talk.mpremote("resume", "exec", "print(a)") == "5\n"
    assert "NameError" in talk.mpremote("exec", "print(a)", code=1)


def test_kodkod_can_be_used_from_typed_code(talk: Talk, tmp_path: Path) -> None:
    script = tmp_path / "ask.py"
    script.write_text(
        "import asyncio\n"
        "from kodkod.services import ServiceClient, ServiceSelector\n"
        "async def ask():\n"
        "    hub = ServiceClient(ServiceSelector('5ac1a3f0-7d3c-4f5e-8a54-000000000001', 1, 0))\n"
        "    await hub.open()\n"
        "    return await hub.invoke('look', None)\n"
        "print(sorted(asyncio.run(ask())))\n"
    )
    assert talk.mpremote("run", script) == "['ann', 'bob']\n"


def test_a_script_with_asyncio_run_runs_to_its_last_line(talk: Talk, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import asyncio\n"
        "async def main():\n"
        "    for n in range(3):\n"
        "        print('step', n, end=';')\n"
        "        await asyncio.sleep_ms(50)\n"
        "    return 'done'\n"
        "print(asyncio.run(main()))\n"
        "try:\n"
        "    asyncio.run(asyncio.wait_for(main(), 0.1))\n"
        "except asyncio.TimeoutError:\n"
        "    print('late')\n"
    )
    with talk.going_on():
        assert talk.mpremote("run", script) == "step 0;step 1;step 2;done\nstep 0;step 1;late\n"
    script.write_text(
        "import asyncio\nasync def f():\n    raise KeyError('k')\nasyncio.run(f())\n"
    )
    out = talk.mpremote("run", script, code=1)
    assert "in f\nKeyError: k" in out


def test_files_are_made_shown_hashed_and_removed(talk: Talk, tmp_path: Path) -> None:
    data = b"first line\nsecond line\n"
    (tmp_path / "note.txt").write_bytes(data)
    talk.mpremote("fs", "mkdir", ":box")
    talk.mpremote("fs", "cp", tmp_path / "note.txt", ":box/")
    talk.mpremote("fs", "touch", ":box/empty")
    assert talk.mpremote("fs", "cat", ":box/note.txt") == data.decode()
    listing = talk.mpremote("fs", "ls", ":box")
    assert "23 note.txt" in listing
    assert "0 empty" in listing
    tree = talk.mpremote("fs", "tree", ":box")
    assert [line[-8:] for line in tree.splitlines()[-2:]] == ["── empty", "note.txt"]
    digest = talk.mpremote("fs", "sha256sum", ":box/note.txt")
    assert hashlib.sha256(data).hexdigest() in digest
    talk.mpremote("fs", "rm", ":box/empty")
    assert "empty" not in talk.mpremote("fs", "ls", ":box")
    talk.mpremote("fs", "rm", "-r", ":box")
    assert "box" not in talk.mpremote("fs", "ls", ":/")
    assert "No such file" in talk.mpremote("fs", "cat", ":box/note.txt", code=1)


def test_df_shows_the_flash(talk: Talk) -> None:
    out = talk.mpremote("df")
    assert out.startswith("filesystem")
    assert out.rstrip().endswith(" /")


def test_100_kb_in_and_out_are_the_same(talk: Talk, tmp_path: Path) -> None:
    data = random.Random(7).randbytes(100 * 1024)
    (tmp_path / "big").write_bytes(data)
    talk.mpremote("fs", "cp", tmp_path / "big", ":big", seconds=60)
    assert hashlib.sha256(data).hexdigest() in talk.mpremote("fs", "sha256sum", ":big")
    talk.mpremote("fs", "cp", ":big", tmp_path / "back", seconds=60)
    assert hashlib.sha256((tmp_path / "back").read_bytes()).digest() == (
        hashlib.sha256(data).digest()
    )
    talk.mpremote("fs", "rm", ":big")


def test_a_mounted_folder_can_be_imported_from_and_is_gone_after(
    talk: Talk, tmp_path: Path
) -> None:
    (tmp_path / "near.py").write_text("import far\nprint('near sees', far.WHAT, len(far.MUCH))\n")
    (tmp_path / "far.py").write_text(f"WHAT = 'far'\nMUCH = {'x' * 3000!r}\n")
    (tmp_path / "data.bin").write_bytes(bytes(range(256)))
    out = talk.mpremote("mount", tmp_path, "exec", "import near")
    assert "near sees far 3000" in out
    check = "print(open('data.bin', 'rb').read() == bytes(range(256)))"
    assert "True" in talk.mpremote("mount", tmp_path, "exec", check)
    check = (
        "import os, sys; print(os.getcwd(), 'near' in sys.modules, 'remote' in os.listdir('/'))"
    )
    assert talk.mpremote("exec", check) == "/ False False\n"
    assert "ImportError" in talk.mpremote("exec", "import near", code=1)


def test_a_soft_reset_touches_no_app(talk: Talk) -> None:
    talk.mpremote("soft-reset")
    with talk.going_on():
        pass


def test_a_package_is_installed_and_imported(talk: Talk, tmp_path: Path) -> None:
    (tmp_path / "little.py").write_text("def answer():\n    return 42\n")
    package = {"urls": [["little.py", "little.py"]], "version": "1"}
    (tmp_path / "package.json").write_text(json.dumps(package))
    talk.mpremote("mip", "install", "--target", "/lib", tmp_path / "package.json")
    assert talk.mpremote("exec", "import little; print(little.answer())") == "42\n"
    talk.mpremote("fs", "rm", ":lib/little.py")


def test_what_typed_code_imports_is_no_apps_module(talk: Talk, tmp_path: Path) -> None:
    (tmp_path / "who.py").write_text("WHO = 'typed'\n")
    talk.mpremote("fs", "cp", tmp_path / "who.py", ":who.py")
    assert "typed" in talk.mpremote("exec", "import who; print(who.WHO)")
    (tmp_path / "who.py").write_text("WHO = 'mine'\n")
    (tmp_path / "other.py").write_text("import who\nprint(who.WHO)\n")
    with talk.link.run(tmp_path / "other.py") as run:
        assert [text for _, _, text in run.lines()] == ["mine"]
    talk.mpremote("fs", "rm", ":who.py")


def test_no_line_of_an_app_gets_into_an_answer(talk: Talk) -> None:
    count = "import time\nfor n in range(50):\n print(n)\n time.sleep_ms(10)\n"
    assert talk.mpremote("exec", count).split() == [str(n) for n in range(50)]
    assert talk.mpremote(*["exec", "pass"] * 20, "exec", "print('end')") == "end\n"
