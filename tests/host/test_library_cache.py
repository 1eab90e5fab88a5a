"""What is kept of the compiled library: damaged, or with no place to be kept in."""

from __future__ import annotations

from pathlib import Path

import pytest
from kod import library


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def unpacked() -> dict[str, bytes]:
    folder = library.unpacked()
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_damaged_files_count_as_absent(cache: Path) -> None:
    files, folder = library.files(), unpacked()
    kept = [path for path in cache.rglob("*") if path.is_file()]
    assert len(kept) > len(folder)
    for number, path in enumerate(kept):
        data = path.read_bytes()
        path.write_bytes((data[:20], b"", data[:-1] + bytes([data[-1] ^ 1]))[number % 3])
    assert library.files() == files
    assert unpacked() == folder


def test_a_cache_that_cannot_be_written_is_no_reason_to_fail(cache: Path) -> None:
    folder = unpacked()
    cache.rename(cache.with_name("other"))
    cache.write_text("a file, where a folder would be")
    assert unpacked() == folder
