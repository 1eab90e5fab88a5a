"""`kod config wifi` and `kod config watchdog`; what it does for an app is in test_deploying.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from kod.errors import UserError
from kodkod.errors import KodkodError
from simulated_device import SimulatedDevice, until


def test_networks_are_listed_added_and_removed_and_no_password_is_told(
    bench: SimulatedDevice,
) -> None:
    assert "knows no network" in bench.kod("config", "wifi").err
    bench.kod("config", "wifi", "add", "home", "--password", "secret-secret")
    bench.kod("config", "wifi", "add", "café", "--open")
    shown = bench.kod("config", "wifi")
    assert shown.out == "home\ncafé\n"
    assert bench.kod("config", "wifi", "--json").json() == ["home", "café"]
    assert bench.settings["wifi"] == [["home", "secret-secret"], ["café", ""]]
    bench.kod("config", "wifi", "add", "home", "--password", "another-secret")
    assert bench.settings["wifi"][-1] == ["home", "another-secret"]
    bench.kod("config", "wifi", "remove", "home")
    assert bench.settings["wifi"] == [["café", ""]]
    said = bench.kod("config", "wifi", "remove", "home", code=3).err
    assert "knows no network 'home'" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("wifi", "add", "home"), "the password of 'home' is missing: --password, or --open"),
        (("wifi", "add", "home", "--password", "short"), "must have 8 to 63 characters"),
        (("wifi", "add", "x" * 33, "--open"), "cannot name a Wi-Fi network"),
        (("wifi", "add", "x", "--open", "--password", "12345678"), "exclude each other"),
        (("wifi", "forget", "home"), "add SSID, or remove SSID"),
        (("wifi", "--restart", "never"), "takes none of an app's settings"),
        (("watchdog", "on", "off"), "on, off, or a time"),
        (("watchdog", "soon"), "neither on nor off"),
        (("watchdog", "1s"), "at least 5 s"),
        (("logs", "lots"), "'lots' is no size like 8k or 4096"),
        (("logs", "100"), "take 1k to 1024k"),
        (("logs", "2k", "3k"), "followed by nothing, or by a size"),
        (("watchdog", "--open"), "belong to: config wifi add"),
        (("app",), "the name of one app"),
        (("nonsense",), "invalid choice"),
    ],
)
def test_bad_input_is_one_line(
    bench: SimulatedDevice, arguments: tuple[str, ...], said: str
) -> None:
    result = bench.kod("config", *arguments, code=2)
    assert said in result.err
    assert result.err.count("\n") == 1


def test_the_log_pool_can_be_set_and_holds_over_a_restart(
    bench: SimulatedDevice, app: Callable[..., Path]
) -> None:
    shown = "logs: the lines of all apps share {} bytes of the device's memory\n"
    assert bench.kod("config", "logs").out == shown.format(8192)
    assert bench.kod("config", "logs", "2k", "--json").json() == {"log_bytes": 2048}
    bench.kod("reset")
    until(lambda: bench.kod("config", "logs", code=None).out == shown.format(2048))
    flood = "for number in range(100):\n    print('line', number)\n"
    bench.kod("install", "flood", app("flood", flood))
    lines = bench.kod("logs", "flood").out.splitlines()
    assert lines[-1].endswith("line 99")
    assert 5 < len(lines) < 2048 // 64
    assert bench.kod("info", "flood", "--json").json()["dropped"] == 100 - len(lines)
    bench.clean()


def test_the_watchdog_restarts_a_device_that_hangs(
    bench: SimulatedDevice, app: Callable[..., Path]
) -> None:
    assert bench.kod("config", "watchdog").out == "watchdog: off\n"
    assert bench.kod("config", "watchdog", "on", "--json").json() == {"watchdog_ms": 60_000}
    with bench.connect() as device:
        assert device.watchdog(1500) == 1500
    hangs = app("hangs", "while True:\n    pass\n")
    bench.kod("run", "--limit", "0", hangs, code=4)

    def cause() -> str:
        try:
            with bench.connect() as device:
                return str(device.about()["boot_reason"])
        except (UserError, KodkodError, OSError):  # it is not up yet
            return ""

    assert until(cause) == "watchdog"
    assert "off from the next restart on" in bench.kod("config", "watchdog", "off").out
    bench.kod("reset")
    until(lambda: cause() == "reset")
    assert bench.kod("config", "watchdog").out == "watchdog: off\n"
