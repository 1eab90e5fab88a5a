"""Whatever the builder makes, a device's storage unpacks to the same files; and what one of
them refuses, so does the other."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from interpreter import ROOT, micropython
from kod.build.errors import BuildError
from kod.build.image import Image, make_image, read_image

DRIVER = ROOT / "tests" / "apps" / "unpack_images.py"
DEEP = os.environ.get("KODKOD_DEEP") == "1"


def unpack(folder: Path, images: list[tuple[str, bytes]]) -> list[str]:
    """What the device's storage says of each image."""
    folder.mkdir(exist_ok=True)
    paths = []
    for id, data in images:
        (folder / id).write_bytes(data)
        paths.append(str(folder / id))
    root = folder / "flash"
    root.mkdir(exist_ok=True)
    run = subprocess.run(
        [*micropython(), "-X", "heapsize=2m", str(DRIVER), str(root), *paths],
        env={**os.environ, "MICROPYPATH": str(ROOT / "lib")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


def content(folder: Path, image: Image) -> dict[str, bytes]:
    base = folder / "flash" / "apps" / image.id[:12]
    return {
        path.relative_to(base).as_posix(): path.read_bytes()
        for path in base.rglob("*")
        if path.is_file() and path != base / "app.json"
    }


NAMES = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=64)
FILES = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=5).map("/".join), st.binary(max_size=3000), max_size=12
)


def test_every_image_that_is_built_is_unpacked_to_the_same_files(tmp_path: Path) -> None:
    images: dict[str, Image] = {}

    @settings(
        max_examples=2000 if DEEP else 100,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],  # of a busy machine
    )
    @given(FILES)
    def build(files: dict[str, bytes]) -> None:
        paths = set(files)
        if any(path.startswith(other + "/") for path in paths for other in paths):
            return  # no file system has a file and a folder of one name
        try:
            image = make_image("main", files, mpy=(6, 3))
        except BuildError:
            return
        images[image.id] = image

    build()
    assert len(images) > 20
    answers = unpack(tmp_path, [(image.id, image.data) for image in images.values()])
    assert answers == ["ok"] * len(images)
    for image in images.values():
        assert content(tmp_path, image) == image.files


def test_the_largest_image_that_is_built_is_unpacked(tmp_path: Path) -> None:
    files = {f"folder/{n:02d}{'n' * 62}": bytes([n]) * 40 for n in range(62)}
    image = make_image("main", files, mpy=None)
    assert unpack(tmp_path, [(image.id, image.data)]) == ["ok"]
    assert content(tmp_path, image) == files
    with pytest.raises(BuildError):
        make_image("main", {**files, "one more": b""}, mpy=None)


def test_a_damaged_image_is_refused_by_both(tmp_path: Path) -> None:
    image = make_image("main", {"main.py": b"pass\n", "pkg/a.py": b"x = 1\n"}, mpy=None)
    bad = []
    for at in range(len(image.data)):
        data = bytearray(image.data)
        data[at] ^= 1 << at % 8
        bad.append((image.id, bytes(data)))
        try:
            known = read_image(bytes(data)).id
        except BuildError:
            continue
        assert known != image.id
    for n, (id, data) in enumerate(bad[:: 1 if DEEP else 20]):
        (answer,) = unpack(tmp_path / str(n), [(id, data)])
        assert answer.startswith("ImageInvalid"), answer
        assert list((tmp_path / str(n) / "flash" / "apps").iterdir()) == []
