"""firmware/manifest.py freezes what a device gets by kod flash, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from kod.flash import plan

FIRMWARE = Path(__file__).parents[2] / "firmware"


def frozen(monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Path], list[str], set[int]]:
    """The manifest run as MicroPython's manifestfile.py does: in its own folder."""
    files: dict[str, Path] = {}
    included: list[str] = []
    levels: set[int] = set()

    def package(name: str, files: list[str], base_path: str, opt: int) -> None:
        for path in files:
            found[f"lib/{name}/{path}"] = FIRMWARE / base_path / name / path
        levels.add(opt)

    def module(name: str, opt: int) -> None:
        found[name] = FIRMWARE / name
        levels.add(opt)

    found = files
    monkeypatch.chdir(FIRMWARE)
    code = compile((FIRMWARE / "manifest.py").read_text(), "manifest.py", "exec")
    exec(code, {"include": included.append, "package": package, "module": module})
    return found, included, levels


def test_it_freezes_what_kod_flash_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _, _ = frozen(monkeypatch)
    names = {name.removesuffix(".py") for name in found}
    assert names == {name.removesuffix(".mpy").removesuffix(".py") for name in plan.device_files()}
    assert all(path.is_file() for path in found.values())


def test_micropythons_own_modules_stay_in(monkeypatch: pytest.MonkeyPatch) -> None:
    _, included, _ = frozen(monkeypatch)
    assert included == ["$(PORT_DIR)/boards/manifest.py"]


def test_it_is_compiled_as_the_files_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert frozen(monkeypatch)[2] == {3}
