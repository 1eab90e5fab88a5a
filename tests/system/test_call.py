"""`kod call` and `kod services` with services that users write, of both styles."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from simulated_device import ROOT, SimulatedDevice

PROVIDERS = """
import asyncio
from kodkod import Resource, errors, service
from kodkod.services import ServiceProvider, ServiceSelector

class Clock(ServiceProvider):
    def __init__(self):
        super().__init__("user/clock", 1, 4, 2)
        self.provides(ServiceSelector("0c10c000-0000-4000-8000-000000000001", 2, 3), self)

    def handle(self, index, arguments, gid, client):
        if index == 0:
            return arguments
        if index == "named":
            return ["named", arguments]
        if index == 2:
            return {"b": b"ab", 1: None, b"k": [float("inf"), 0.5], "text": "caf\\u00e9"}
        if index == 3:
            raise errors.Busy("come back tomorrow")
        if index == 4:
            return 1 // 0
        if index == 5:
            return self.sleep()
        if index == 6:
            raise ValueError("\x1b[31mred")
        raise errors.UnknownMethod("no method {}".format(index))

    async def sleep(self):
        await asyncio.sleep(10)

@service("user/lamp", version=(0, 2))
class Lamp:
    def set(self, client, level, colour="white"):
        return [level, colour]

    async def slow(self, client):
        await asyncio.sleep(0.01)
        return "done"

    def line(self, client):
        return Line(self)

class Line(Resource):
    pass

Clock().install()
"""

LIMITED = """
import sys
from kodkod import connect, errors, spawn

async def child():
    try:
        async with connect("user/clock", timeout_ms=None):
            pass
    except errors.Denied:
        sys.exit(7)

async def main():
    async with connect("user/lamp") as lamp:
        print((await lamp.set("dark"))[0])
    for name in ("user/clock", "kodkod/apps"):
        try:
            async with connect(name):
                pass
        except errors.Denied as error:
            print("Denied", error)
    print(await spawn(child).wait())
"""


@pytest.fixture(scope="module")
def device(bench: SimulatedDevice, tmp_path_factory: pytest.TempPathFactory) -> SimulatedDevice:
    program = tmp_path_factory.mktemp("call") / "providers.py"
    program.write_text(PROVIDERS)
    bench.kod("install", "providers", program)
    return bench


def called(device: SimulatedDevice, *arguments: str) -> Any:
    return json.loads(device.kod("call", *arguments).out)


def test_a_method_by_its_index_gets_the_one_argument_as_it_is(device: SimulatedDevice) -> None:
    assert called(device, "user/clock", "0") is None
    assert called(device, "user/clock", "0", "5") == 5
    assert called(device, "user/clock", "0", '{"a": [1, null, "x"]}') == {"a": [1, None, "x"]}
    assert called(device, "user/clock", "0", "plain text") == "plain text"
    assert called(device, "user/clock", "0", '"5"') == "5"
    assert called(device, "user/clock", "0", "[1]") == [1]
    assert called(device, "user/clock", "0", "1", "two", "3.5") == [1, "two", 3.5]
    assert called(device, "user/clock", "0", "--", "-7") == -7


def test_a_method_by_its_name_gets_a_list(device: SimulatedDevice) -> None:
    assert called(device, "user/clock", "named") == ["named", []]
    assert called(device, "user/clock", "named", "1") == ["named", [1]]
    assert called(device, "user/clock", "named", "1", "2") == ["named", [1, 2]]


def test_a_service_by_its_uuid(device: SimulatedDevice) -> None:
    assert called(device, "0c10c000-0000-4000-8000-000000000001", "0", "true") is True


def test_the_second_style(device: SimulatedDevice) -> None:
    assert called(device, "user/lamp", "set", "7") == [7, "white"]
    assert called(device, "user/lamp", "set", "7", "red") == [7, "red"]
    assert called(device, "user/lamp", "set", "[1]") == [[1], "white"]
    assert called(device, "user/lamp", "slow") == "done"
    assert list(called(device, "user/lamp", "line")) == ["kodkod:handle"]


def test_values_that_json_has_no_word_for_are_shown(device: SimulatedDevice) -> None:
    shown = device.kod("call", "user/clock", "2").out
    assert len(shown.splitlines()) == 1
    assert '"text": "caf\\u00e9"' in shown
    assert json.loads(shown)["6b"] == ["inf", 0.5]
    assert device.kod("call", "user/clock", "2", "--json").json()["1"] is None


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("user/clock", "3"), 1, "come back tomorrow"),
        (("user/clock", "99"), 3, "no method 99"),
        (("user/lamp", "fly"), 3, "user/lamp has no method fly"),
        (("user/clock", "_named"), 3, "no method _named"),
        (("kodkod/device", "0"), 3, "kodkod/device has no method 0"),
        (("user/nobody", "0"), 3, "no provider of user/nobody"),
        (("user/clock", "0", "18446744073709551616"), 1, "arguments: int beyond 64 bits"),
        (("user/clock", "0", "x" * 3000), 1, "over 2048 bytes"),
        (("user/clock", "5", "--timeout", "50ms"), 4, "no answer within 50 ms"),
    ],
)
def test_a_typed_error_is_one_line(
    device: SimulatedDevice, arguments: tuple[str, ...], code: int, said: str
) -> None:
    result = device.kod("call", *arguments, code=code)
    assert result.out == ""
    assert said in result.err
    assert result.err.count("\n") == 1


def test_an_exception_of_the_provider_shows_its_traceback(device: SimulatedDevice) -> None:
    result = device.kod("call", "user/clock", "4", code=1)
    assert 'File "providers.py", line 21, in handle' in result.err
    assert result.err.splitlines()[-1].startswith("kod: ZeroDivisionError")
    assert device.kod("call", "user/clock", "4", "--json", code=1).json()["type"] == "RemoteError"


def test_what_a_provider_says_steers_no_terminal(device: SimulatedDevice) -> None:
    terminal, end = os.openpty()
    command = [sys.executable, "-m", "kod", "call", "user/clock", "6"]
    code = subprocess.run(command, stderr=end, env=device.environment).returncode
    os.close(end)
    said = os.read(terminal, 4096)
    os.close(terminal)
    assert code == 1
    assert said.count(b"ValueError: \\x1b[31mred") == 2, said
    assert b"\x1b" not in said


def test_an_image_names_the_services_that_its_app_and_its_children_may_open(
    device: SimulatedDevice, tmp_path: Path
) -> None:
    (tmp_path / "kodkod.toml").write_text('[permissions]\nservices = ["user/lamp"]\n')
    program = tmp_path / "limited.py"
    program.write_text(LIMITED)
    lines = device.kod("run", program).out.splitlines()
    assert (lines[0], lines[-1], len(lines)) == ("dark", "7", 4)
    for line, name in zip(lines[1:3], ("user/clock", "kodkod/apps"), strict=True):
        assert line.endswith(f" may not open {name}: see its permissions")


def test_services_shows_who_provides_what(device: SimulatedDevice) -> None:
    rows = {one["name"]: one for one in device.kod("services", "--json").json()}
    clock = rows["user/clock"]
    assert clock["uuid"] == "0c10c000-0000-4000-8000-000000000001"
    assert (clock["version"], clock["release"]) == ([2, 3], [1, 4, 2])
    assert (clock["app"], clock["clients"], clock["priority"]) == ("providers", 0, 0x80)
    assert rows["user/lamp"]["version"] == [0, 2]
    table = [line.split()[:3] for line in device.kod("services").out.splitlines()]
    assert ["user/clock", "2.3", "providers"] in table


def test_a_call_starts_nothing_that_stays(device: SimulatedDevice) -> None:
    called(device, "user/lamp", "line")
    listing = device.kod("services", "--json").json()
    assert all(one["clients"] == 0 for one in listing if one["name"].startswith("user/"))


def test_the_scenario_lab_is_called_too(device: SimulatedDevice) -> None:
    device.kod("install", "director", Path(ROOT, "tests", "scenarios", "lab.py"))
    assert called(device, "scenarios/director", "start", "lab", "{}") is None
    assert called(device, "lab", "later", "5", "soon") == "soon"
    device.kod("call", "lab", "exit", "3", code=4)
    assert called(device, "scenarios/director", "end", "lab") == ["failed", 3]
