"""kod setup over a link: the device tries the new library by one start, and keeps the old one
until a kod has found it well."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator

import pytest
from kod import Device, library, renewing
from kod.errors import UserError
from kod.flash import plan
from kodkod import errors
from simulated_device import EXAMPLES, Result, SimulatedDevice, in_process, until

Files = dict[str, bytes]
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatedDevice]:
    device = SimulatedDevice(tmp_path_factory.mktemp("renewal"), "roof")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KOD_HOME", str(device.home))
        device.start()
        device.kod("install", "provider", EXAMPLES / "notification" / "provider.py")
        try:
            yield device
        finally:
            device.stop()


@pytest.fixture
def device(one: SimulatedDevice) -> Iterator[SimulatedDevice]:
    """On which the library is kod's own, before and after, and its app runs."""
    yield one
    until(lambda: not (one.folder / "lib.new").exists(), what="/lib.new stays")
    assert on_flash(one) == library.files()
    assert one.states()["provider"] == "running"


@pytest.fixture
def kod(capsys: pytest.CaptureFixture[str]) -> Run:
    return in_process(capsys)


def on_flash(device: SimulatedDevice) -> Files:
    paths = [*(device.folder / "lib").rglob("*.mpy"), *device.folder.glob("*.py")]
    return {path.relative_to(device.folder).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Files]:
    """Makes kod send another library: `other(path, old text, new text, ...)`."""

    def change(*changes: str) -> Files:
        texts = library.sources()
        for path, old, new in zip(changes[::3], changes[1::3], changes[2::3], strict=True):
            text = texts[f"kodkod/{path}"]
            assert old in text
            texts[f"kodkod/{path}"] = text.replace(old, new)
        files = library.compiled(texts)
        monkeypatch.setattr(plan, "device_files", lambda platform: files)
        return files

    return change


def test_it_sends_what_differs_and_apps_and_settings_stay(
    device: SimulatedDevice, kod: Run
) -> None:
    settings = device.settings
    changed = device.folder / "lib/kodkod/services/style.mpy"
    whole = changed.read_bytes()
    changed.write_bytes(b"damaged")
    (device.folder / "lib/kodkod/of_an_older_version.mpy").write_bytes(b"M\x06")
    (device.folder / "main.py").write_text(
        "# older\n" + (device.folder / "main.py").read_text(), encoding="utf-8"
    )
    main = library.files()["main.py"]
    pid = device.run_json["device_pid"]
    result = kod("setup", "-d", "roof", "--json")
    assert result.json()["renewed"] is True
    assert f"{len(whole) + len(main)} bytes sent and verified" in result.err
    assert device.run_json["device_pid"] != pid
    assert device.settings == settings
    assert "a new library is on trial" in kod("logs", "kodkod", "-d", "roof").out


@pytest.mark.parametrize("device_of", [["-d", "roof"], ["roof"]])
def test_what_is_up_to_date_is_left_alone(
    device: SimulatedDevice, kod: Run, device_of: list[str]
) -> None:
    pid = device.run_json["device_pid"]
    assert "the library is up to date" in kod("setup", *device_of).err
    assert device.run_json["device_pid"] == pid


def test_modules_that_were_not_loaded_yet_are_found_after_the_switch(
    device: SimulatedDevice, kod: Run, other: Callable[..., Files]
) -> None:
    # From a library that differs and back again, without a start in between.
    other("services/style.py", "# The second style", "X = 1  # The second style")
    kod("setup", "-d", "roof")
    assert on_flash(device) != library.files()
    kod("install", "user", EXAMPLES / "notification" / "user.py", "-d", "roof")
    kod("uninstall", "user", "-d", "roof")
    other()
    kod("setup", "-d", "roof")


def test_a_library_that_does_not_load_is_not_kept(
    device: SimulatedDevice, kod: Run, other: Callable[..., Files]
) -> None:
    other("system/__init__.py", "def main():", "1 / 0\n\n\ndef main():")
    result = kod("setup", "-d", "roof", code=1)
    assert "'roof' did not come up with the new library; the one before is back" in result.err
    assert "the new library did not prove itself" in result.err
    assert "ZeroDivisionError" in device.console()


def test_a_library_that_fails_while_it_boots_is_not_kept(
    device: SimulatedDevice, kod: Run, other: Callable[..., Files]
) -> None:
    other(
        *("system/renew.py", "TRIAL_S = 120", "TRIAL_S = 2"),
        *("system/boot.py", "_boot(kernel, config):", "_boot(kernel, config):\n    1 / 0"),
    )
    result = kod("setup", "-d", "roof", code=1)
    assert "the one before is back" in result.err
    assert device.console().count("no kod has come") == 1


def test_a_library_that_no_kod_can_reach_is_not_kept(
    device: SimulatedDevice, kod: Run, other: Callable[..., Files]
) -> None:
    other(
        *("system/renew.py", "TRIAL_S = 120", "TRIAL_S = 2"),
        *("link/tcp.py", "listener.listen(4)", "listener.listen[4]"),
    )
    result = kod("setup", "-d", "roof", code=1)
    assert "the one before is back" in result.err


def test_a_device_that_does_not_come_back_will_have_the_library_before(
    device: SimulatedDevice, kod: Run, other: Callable[..., Files]
) -> None:
    other("system/__init__.py", "kernel, console = start()", "raise SystemExit(0)")
    result = kod("setup", "-d", "roof", "--wait", "1", code=4)
    assert "'roof' did not come back within 1 s; it goes back to the library before" in result.err
    device.stop()
    device.start()


def test_a_power_cut_during_the_trial_brings_the_library_before(
    device: SimulatedDevice, monkeypatch: pytest.MonkeyPatch, other: Callable[..., Files]
) -> None:
    other("system/__init__.py", "def main():", "def main(of_another_kod=0):")
    with Device.find("roof") as found:
        renewing.renew(found)
        found.reset()
    until(lambda: (device.folder / "lib.new" / "tried").exists())
    os.kill(device.run_json["device_pid"], signal.SIGKILL)
    device.stop()
    device.start()
    with Device.find("roof") as found, found.open("kodkod/device") as service:
        assert service.call("confirm", []) is False


def test_a_link_that_is_lost_meanwhile_leaves_nothing(
    device: SimulatedDevice, other: Callable[..., Files]
) -> None:
    other("system/__init__.py", "def main():", "def main(of_another_kod=0):")

    class Lost(Exception):
        pass

    def lose(what: str, done: int, total: int) -> None:
        if done > total // 2:
            raise Lost

    with Device.find("roof") as found, pytest.raises(Lost):
        renewing.renew(found, lose)


def test_only_one_kod_at_a_time_and_nothing_but_a_library(device: SimulatedDevice) -> None:
    with Device.find("roof") as found, found.open("kodkod/device") as service:
        handle = service.call("renew", [])
        with Device.find("roof") as another, pytest.raises(errors.Busy, match="another kod"):
            another.call("kodkod/device", "renew", [])
        for path in ("kodkod.json", "kodkod/../../x.mpy", "../x.py"):
            with pytest.raises(errors.ImageInvalid, match="no file of the library"):
                service.call("renewal", [handle, "begin", path, "00"])
        service.call("renewal", [handle, "begin", "kodkod/a.mpy", "0" * 64])
        service.call("renewal", [handle, "write", b"bytes"])
        with pytest.raises(errors.ImageInvalid, match=r"kodkod/a.mpy arrived damaged"):
            service.call("renewal", [handle, "commit", 1])
        with pytest.raises(errors.UnknownMethod):
            service.call("renewal", [handle, "close"])
        service.close_handle(handle)


def test_what_a_link_cannot_change_is_refused(device: SimulatedDevice, kod: Run) -> None:
    assert "renews the library alone" in kod("setup", "-d", "roof", "--name", "x", code=2).err
    assert "finds it well" in kod("setup", "-d", "roof", "--wait", "0", code=2).err


def test_too_little_flash_is_said_before_anything_is_sent(
    device: SimulatedDevice, monkeypatch: pytest.MonkeyPatch, other: Callable[..., Files]
) -> None:
    other("system/__init__.py", "def main():", "def main(of_another_kod=0):")
    with Device.find("roof") as found:
        about = {**found.about(), "free_flash": 100 << 10}
        monkeypatch.setattr(found, "about", lambda: about)
        with pytest.raises(UserError, match="the device has 100 KB of flash free"):
            renewing.renew(found)


def test_the_settings_of_the_device_are_whole(device: SimulatedDevice) -> None:
    assert json.loads((device.folder / "kodkod.json").read_text())["name"] == "roof"
