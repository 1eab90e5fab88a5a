"""Packages of kodkod.toml: through mip's index, fetched once, locked by hash."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from building import build, refused, write
from kod.build import build_image
from kod.build.device import AskedDevice


class Index:
    """An index as micropython.org's, on this computer; counts what is asked of it."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.asked.append(self.path)
                data = index.files.get(self.path)
                self.send_response(404 if data is None else 200)
                self.end_headers()
                self.wfile.write(data or b"")

            def log_message(self, *_: object) -> None:
                """Tests are quiet."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def add(
        self,
        name: str,
        files: dict[str, str],
        deps: tuple[tuple[str, str], ...] = (),
        version: str = "latest",
    ) -> None:
        hashes = []
        for path, text in files.items():
            short = hashlib.sha256(text.encode()).hexdigest()[:8]
            self.files[f"/file/{short[:2]}/{short}"] = text.encode()
            hashes.append([path, short])
        said = {"v": 1, "version": "1.0", "hashes": hashes, "deps": deps}
        self.files[f"/package/py/{name}/{version}.json"] = json.dumps(said).encode()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    monkeypatch.setenv("KOD_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    index = Index()
    monkeypatch.setenv("KOD_MIP_INDEX", index.url)
    yield index
    index.server.shutdown()
    index.server.server_close()


LOGGING = {"logging.py": "def log(x):\n    print(x)\n"}


def project(*packages: str, app: str = "import logging\n") -> dict[str, str | bytes]:
    return {"kodkod.toml": f"packages = {json.dumps(packages)}\n", "app.py": app}


def test_a_package_that_is_imported_goes_along(tmp_path: Path, index: Index) -> None:
    index.add("logging", LOGGING)
    image = build(tmp_path, project("logging"))
    assert sorted(image.files) == ["app.mpy", "logging.mpy"]
    assert b"logging.py" in image.files["logging.mpy"]


def test_one_that_is_not_imported_is_not_even_fetched(tmp_path: Path, index: Index) -> None:
    image = build(tmp_path, project("logging", app="import json, asyncio\n"))
    assert sorted(image.files) == ["app.mpy"]
    assert index.asked == []
    assert not (tmp_path / "kodkod.lock").exists()


def test_what_it_depends_on_goes_along_if_it_is_imported(tmp_path: Path, index: Index) -> None:
    index.add(
        "a",
        {"a/__init__.py": "from . import x\nimport b\n", "a/x.py": "", "a/y.py": ""},
        deps=(("b", "2.0"), ("a", "latest")),
    )
    index.add("b", {"b.py": "", "b_more.py": ""}, version="2.0")
    image = build(tmp_path, project("a", app="import a\n"))
    assert sorted(image.files) == ["a/__init__.mpy", "a/x.mpy", "app.mpy", "b.mpy"]


def test_an_exact_version_can_be_asked_for(tmp_path: Path, index: Index) -> None:
    index.add("logging", LOGGING, version="0.5")
    build(tmp_path, project("logging@0.5"))
    assert index.asked[0] == "/package/py/logging/0.5.json"


def test_a_package_in_a_folder_without_init(tmp_path: Path, index: Index) -> None:
    index.add("umqtt.later", {"umqtt/later.py": "import umqtt.simple\n"})
    index.add("umqtt.simple", {"umqtt/simple.py": ""})
    files = project("umqtt.later", "umqtt.simple", app="from umqtt import later\n")
    image = build(tmp_path, files)
    assert sorted(image.files) == ["app.mpy", "umqtt/later.mpy", "umqtt/simple.mpy"]


def test_what_the_device_has_is_left_out(tmp_path: Path, index: Index) -> None:
    index.add("requests", {"requests/__init__.py": ""})
    files = project("requests", app="import requests\n")
    assert sorted(build(tmp_path, files).files) == ["app.mpy"]
    bare = build(tmp_path, files, builtins=["sys"])
    assert sorted(bare.files) == ["app.mpy", "requests/__init__.mpy"]


def test_what_the_device_says_that_it_lacks_comes_from_its_package(
    tmp_path: Path, index: Index
) -> None:
    index.add("neopixel", {"neopixel.py": "import machine\n"})
    files = project("neopixel", app="import neopixel\n")
    assert sorted(build(tmp_path, files).files) == ["app.mpy"]  # a stock ESP32 has it
    asked: list[list[str]] = []

    def ask(names: list[str]) -> list[str]:
        asked.append(names)
        return ["machine"]

    device = AskedDevice("desk", ask, {})
    assert sorted(build(tmp_path, files, builtins=device).files) == ["app.mpy", "neopixel.mpy"]
    assert asked == [["neopixel"], ["machine"]]


def test_a_part_that_the_device_lacks_brings_its_package(tmp_path: Path, index: Index) -> None:
    index.add("os-path", {"os/__init__.py": "from uos import *\n", "os/path.py": ""})
    image = build(tmp_path, project("os-path", app="import os\nimport os.path\n"))
    assert sorted(image.files) == ["app.mpy", "os/__init__.mpy", "os/path.mpy"]


def test_a_file_of_the_project_goes_before_a_package(tmp_path: Path, index: Index) -> None:
    files = {**project("logging"), "lib/logging.py": ""}
    assert sorted(build(tmp_path, files).files) == ["app.mpy", "logging.mpy"]
    assert index.asked == []


def test_the_second_build_asks_nobody(tmp_path: Path, index: Index) -> None:
    index.add("logging", LOGGING)
    first = build(tmp_path, project("logging"))
    index.asked.clear()
    assert build(tmp_path, project("logging")).data == first.data
    assert index.asked == []


def test_the_lock_gives_the_same_bytes_elsewhere_though_the_index_moved_on(
    tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.add("logging", LOGGING)
    first = build(tmp_path / "here", project("logging"))
    index.add("logging", {"logging.py": "def log(x):\n    print('new', x)\n"})
    monkeypatch.setenv("KOD_HOME", str(tmp_path / "another home"))
    write(tmp_path / "there", project("logging"))
    shutil.copy(tmp_path / "here" / "kodkod.lock", tmp_path / "there")
    assert build_image(tmp_path / "there" / "app.py").data == first.data
    (tmp_path / "there" / "kodkod.lock").unlink()
    assert build_image(tmp_path / "there" / "app.py").data != first.data


def test_the_lock_names_every_file_with_its_sha256(tmp_path: Path, index: Index) -> None:
    index.add("logging", LOGGING)
    build(tmp_path, project("logging"))
    full = hashlib.sha256(LOGGING["logging.py"].encode()).hexdigest()
    remote = {"source": f"file/{full[:2]}/{full[:8]}", "sha256": full}
    lock = json.loads((tmp_path / "kodkod.lock").read_text())
    assert lock == {"format": 1, "packages": {"logging": {"logging.py": remote}}}


def test_the_lock_follows_kodkod_toml(tmp_path: Path, index: Index) -> None:
    index.add("logging", LOGGING)
    index.add("other", {"other.py": ""})
    build(tmp_path, project("logging", "other"))
    build(tmp_path, project("other", app="import other\n"))
    assert list(json.loads((tmp_path / "kodkod.lock").read_text())["packages"]) == ["other"]


def test_another_file_than_the_lock_names_is_refused(
    tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.add("logging", LOGGING)
    build(tmp_path, project("logging"))
    monkeypatch.setenv("KOD_HOME", str(tmp_path / "another home"))
    for path in index.files:
        index.files[path] = b"import os  # evil\n"
    assert "is not the file that" in str(refused(tmp_path, project("logging")))


def test_a_file_that_came_damaged_is_refused(tmp_path: Path, index: Index) -> None:
    index.add("logging", LOGGING)
    index.files = {p: d if p.endswith("json") else d + b"#" for p, d in index.files.items()}
    assert "is damaged" in str(refused(tmp_path, project("logging")))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[" * 5000,
        '{"format": 9}',
        '{"format": 1, "packages": 3}',
        '{"format": 1, "packages": {"logging": {"logging.py": {"source": 1, "sha256": 2}}}}',
        '{"format": 1, "packages": {"logging": {"logging.py": {"source": "a", "sha256": "b"}}}}',
    ],
)
def test_a_lock_that_cannot_be_read_is_one_line(tmp_path: Path, index: Index, text: str) -> None:
    error = refused(tmp_path, {**project("logging"), "kodkod.lock": text})
    assert "kodkod.lock" in str(error)
    assert "remove it" in str(error)


def test_a_package_that_is_not_there_is_one_line(tmp_path: Path, index: Index) -> None:
    error = refused(tmp_path, project("nothing"))
    assert str(error) == (
        f"package 'nothing': {index.url}/package/py/nothing/latest.json is not there; "
        "see packages in kodkod.toml"
    )


def test_an_index_that_does_not_answer_is_one_line(
    tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOD_MIP_INDEX", "http://127.0.0.1:9")
    assert "cannot be fetched" in str(refused(tmp_path, project("logging")))
    monkeypatch.setenv("KOD_MIP_INDEX", "nonsense")
    assert "cannot be fetched" in str(refused(tmp_path, project("logging")))


@pytest.mark.parametrize(
    "said", [b"no json", b"[]", b'{"hashes": 3}', b'{"hashes": [["x"]]}', b'{"deps": [[1, 2]]}']
)
def test_a_description_that_is_none_is_one_line(tmp_path: Path, index: Index, said: bytes) -> None:
    index.files["/package/py/logging/latest.json"] = said
    assert "is no package description" in str(refused(tmp_path, project("logging")))


def test_a_package_may_not_write_elsewhere(tmp_path: Path, index: Index) -> None:
    index.add("logging", {"../logging.py": ""})
    assert "no file name" in str(refused(tmp_path, project("logging")))


def test_the_index_can_stand_in_kodkod_toml(
    tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KOD_MIP_INDEX")
    index.add("logging", LOGGING)
    files = project("logging")
    files["kodkod.toml"] = f"{files['kodkod.toml']}index = '{index.url}/'\n"  # type: ignore[str-bytes-safe]
    assert "logging.mpy" in build(tmp_path, files).files


def test_a_package_can_be_an_address(tmp_path: Path, index: Index) -> None:
    said = {"urls": [["p/__init__.py", "src/p.py"]], "deps": [["logging", "latest"]]}
    index.files["/mine/package.json"] = json.dumps(said).encode()
    index.files["/mine/src/p.py"] = b"import logging\n"
    index.files["/one.py"] = b"X = 1\n"
    index.add("logging", LOGGING)
    files = project(f"{index.url}/mine", f"{index.url}/one.py", app="import p, one\n")
    assert sorted(build(tmp_path, files).files) == [
        "app.mpy",
        "logging.mpy",
        "one.mpy",
        "p/__init__.mpy",
    ]


def test_packages_are_not_warned_about(tmp_path: Path, index: Index) -> None:
    text = "import time\nwhile 1:\n    time.sleep(1)\ntry:\n    import no\nexcept ImportError: 0\n"
    index.add("logging", {"logging.py": text})
    assert build(tmp_path, project("logging")).warnings == []


def test_a_mistake_in_a_package_names_its_file(tmp_path: Path, index: Index) -> None:
    index.add("logging", {"logging.py": "import nowhere\n"})
    assert str(refused(tmp_path, project("logging"))).startswith("logging.py:1: module 'nowhere'")
