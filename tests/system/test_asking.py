"""What a program imports is looked for here and in the firmware of the device that it goes to.

The firmware of a simulated device is the unix port: it has `termios`, which no ESP32 has, and no
`neopixel`, which every ESP32 has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kod import Device, cache
from simulated_device import Result, SimulatedDevice, in_process, until
from test_watch import Watch, save_by_rename

App = Callable[[str, str], Path]
Kod = Callable[..., Result]
Asked = list[str]


@pytest.fixture
def kod(
    bench: SimulatedDevice,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Kod]:
    """`kod` on the device, in this process, that remembers no answers of other tests."""
    monkeypatch.setattr(cache, "folder", lambda kind: tmp_path / "cache" / kind)
    yield in_process(capsys)
    bench.clean()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Every name that the device is asked for, with a dot for each time."""
    names: Asked = []
    ask = Device.has_modules

    def heard(device: Device, some: list[str]) -> list[str]:
        names.extend([*some, "."])
        return ask(device, some)

    monkeypatch.setattr(Device, "has_modules", heard)
    return names


def on_firmware(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Stands in for a device that was flashed anew."""
    monkeypatch.setattr(Device, "firmware", name)


def sent(bench: SimulatedDevice) -> list[str]:
    folder = bench.folder / "apps"
    return [path.name for path in folder.iterdir()] if folder.exists() else []


def test_the_device_is_asked_once_for_all_that_a_program_imports(
    kod: Kod, app: App, asked: Asked, tmp_path: Path
) -> None:
    (tmp_path / "near.py").write_text("import struct\n")
    program = app("asks", "import json, near\ndef f():\n    import termios\nprint('ran')\n")
    assert kod("run", program).out == "ran\n"
    assert asked == ["json", "termios", ".", "struct", "."]
    program.write_text(program.read_text() + "print(json.dumps(1))\n")
    assert kod("run", program).out == "ran\n1\n"
    kod("install", "asks", program)
    assert asked == ["json", "termios", ".", "struct", "."]
    program.write_text("import binascii\n" + program.read_text())
    kod("install", "asks", program, "--no-probation")
    assert asked[5:] == ["binascii", "."]


def test_what_it_said_is_cached_per_firmware_and_another_firmware_is_asked_again(
    kod: Kod, app: App, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = app("asks", "import json\n")
    kod("run", program)
    with monkeypatch.context() as other:
        on_firmware(other, "another")
        kod("run", program)
        kod("run", program)
    kod("run", program)
    assert asked == ["json", ".", "json", "."]


def test_a_damaged_cache_is_asked_again(
    kod: Kod, app: App, asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = app("asks", "import json\n")
    kod("run", program)
    (kept,) = (path for path in (tmp_path / "cache/modules").rglob("*") if path.is_file())
    kept.write_bytes(b"x" * 100)
    kod("run", program)
    assert asked == ["json", ".", "json", "."]


@pytest.mark.parametrize("verb", [("install", "x"), ("run",)])
def test_a_module_that_the_device_lacks_is_named_before_anything_is_sent(
    bench: SimulatedDevice, kod: Kod, app: App, verb: tuple[str, ...]
) -> None:
    program = app("wants", "\nimport neopixel\n")
    kod("build", program, "-o", program.with_suffix(".kod"))  # for an ESP32 it is fine
    refused = kod(*verb, program, code=2)
    assert refused.err == (
        f"kod: {program}:2: module 'neopixel' is not beside the program, in lib/, "
        "in the firmware of 'bench' or in a package of kodkod.toml\n"
    )
    assert sent(bench) == []


def test_one_that_only_the_device_has_is_left_out(
    bench: SimulatedDevice, kod: Kod, app: App
) -> None:
    program = app("uses", "import termios\nprint(hasattr(termios, 'setraw'))\n")
    assert "in lib/, on the device or" in kod("build", program, code=2).err
    assert kod("run", program).out == "True\n"


def test_one_that_is_missing_inside_try_except_is_only_warned_of(
    bench: SimulatedDevice, kod: Kod, app: App
) -> None:
    text = "try:\n    import neopixel\nexcept ImportError:\n    print('without')\n"
    ran = kod("run", app("tries", text))
    assert ran.out == "without\n"
    assert "tries.py:2: module 'neopixel' was not found; the except branch runs\n" in ran.err


def test_a_file_of_the_project_goes_along_where_an_esp32_would_have_its_own(
    bench: SimulatedDevice, kod: Kod, app: App, tmp_path: Path
) -> None:
    (tmp_path / "neopixel.py").write_text("NAME = 'mine'\n")
    ran = kod("run", app("own", "import neopixel\nprint(neopixel.NAME)\n"))
    assert ran.out == "mine\n"
    assert "not the device's" not in ran.err


def test_what_somebody_put_on_the_flash_is_not_the_firmware_s(
    bench: SimulatedDevice, kod: Kod, app: App
) -> None:
    extra = bench.folder / "lib" / "handmade.py"
    extra.write_text("NAME = 'from the flash'\n")
    try:
        refused = kod("run", app("wants", "import handmade\n"), code=2)
        assert "module 'handmade' is not beside the program, in lib/, in the firm" in refused.err
        text = "try:\n    import handmade\nexcept ImportError:\n    pass\nprint(handmade.NAME)\n"
        ran = kod("run", app("tries", text))
        assert ran.out == "from the flash\n"
    finally:
        extra.unlink()


def test_a_missing_module_is_asked_for_again_before_a_program_is_refused(
    bench: SimulatedDevice, kod: Kod, app: App, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = app("uses", "import termios\nprint('there')\n")
    with monkeypatch.context() as before:  # firmware that was made anew, on the same day
        before.setattr(Device, "has_modules", lambda device, names: [])
        kod("run", program, code=2)
    assert kod("run", program).out == "there\n"
    assert asked == ["termios", "."]


def test_a_device_whose_library_cannot_tell_counts_as_a_stock_esp32(
    bench: SimulatedDevice, kod: Kod, app: App, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_firmware(monkeypatch, "")
    failed = kod("run", app("wants", "import neopixel\n"), code=1)
    assert "ImportError: no module named 'neopixel'" in failed.out
    assert asked == []


def test_watch_names_what_the_device_lacks_and_what_runs_goes_on(
    bench: SimulatedDevice, app: App, kod: Kod
) -> None:
    text = "import asyncio\nasync def main():\n    while True:\n        print({})\n"
    text += "        await asyncio.sleep(0.02)\n"
    program = app("watched", text.format(1))
    watch = Watch(bench.popen("watch", str(program)))
    try:
        watch.sees("^1$")
        save_by_rename(program, "import neopixel\n" + text.format(2))
        watch.says("module 'neopixel' is not .* in the firmware of 'bench'.*; what runs goes on$")
        watch.sees("^1$")
        save_by_rename(program, text.format(3))
        watch.sees("^3$")
        watch.end()
    finally:
        watch.close()
    until(lambda: bench.states() == {})
