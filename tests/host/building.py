"""What the tests of kod.build share: a project of files, and a build of one of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from kod.build import Image, build_image
from kod.build.errors import BuildError


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    """Writes files by their relative names; returns the folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def build(
    folder: Path, files: dict[str, str | bytes], entry: str = "app.py", **how: object
) -> Image:
    write(folder, files)
    return build_image(folder / entry, **how)  # type: ignore[arg-type]


def refused(
    folder: Path, files: dict[str, str | bytes], entry: str = "app.py", **how: object
) -> BuildError:
    """The error of a build that must not succeed."""
    with pytest.raises(BuildError) as caught:
        build(folder, files, entry, **how)
    assert "\n" not in str(caught.value)
    return caught.value
