"""The notification tutorial, end to end: what a user is promised from the first day."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kod import micropython
from simulated_device import EXAMPLES, ROOT, SimulatedDevice, until

TUTORIAL = EXAMPLES / "notification"
App = Callable[..., Path]
RECEIVED = re.compile(r"(\S+ - \d+|process\d|runner\d) received: hello from (.+) \(\d+\)")


def received(text: str) -> list[tuple[str, str]]:
    """(who, from whom) of each message in a log."""
    return [(match[1], match[2]) for match in RECEIVED.finditer(text)]


def install_tutorial(device: SimulatedDevice) -> None:
    device.kod("install", "provider", TUTORIAL / "provider.py")
    device.kod("install", "user1", TUTORIAL / "user.py")
    device.kod("install", "user2", TUTORIAL / "user2.py")


def lines(device: SimulatedDevice, *names: str) -> list[dict[str, Any]]:
    """The lines in the log of one app, or of all."""
    return [json.loads(line) for line in device.kod("logs", *names, "--json").out.splitlines()]


def heard(device: SimulatedDevice, *names: str, since: int = 0) -> bool:
    """Whether each of these users received something after line `since`."""
    return all(
        received("\n".join(line["text"] for line in lines(device, name) if line["seq"] > since))
        for name in names
    )


def last_line(device: SimulatedDevice) -> int:
    return int(lines(device)[-1]["seq"])


def test_provider_and_users_installed_by_name_talk_and_none_hears_itself(
    bench: SimulatedDevice,
) -> None:
    bench.clean()
    install_tutorial(bench)
    until(lambda: heard(bench, "user1", "user2"))
    pairs = received(bench.kod("logs").out)
    assert pairs
    assert all(who != sender for who, sender in pairs)


def test_the_short_form_of_the_tutorial_talks_too(bench: SimulatedDevice) -> None:
    bench.clean()
    short = EXAMPLES / "notification_short"
    bench.kod("install", "provider", short / "provider.py")
    bench.kod("install", "user1", short / "user.py")
    bench.kod("install", "user2", short / "user.py")
    until(lambda: heard(bench, "user1", "user2"))


def test_uninstalling_one_user_leaves_the_others_running(bench: SimulatedDevice) -> None:
    bench.clean()
    install_tutorial(bench)
    bench.kod("install", "user3", TUTORIAL / "user.py")
    until(lambda: heard(bench, "user2", "user3"))
    bench.kod("uninstall", "user1")
    since = last_line(bench)
    until(lambda: heard(bench, "user2", "user3", since=since))
    assert bench.states() == {"provider": "running", "user2": "running", "user3": "running"}


def test_one_image_under_two_names_runs_twice(bench: SimulatedDevice) -> None:
    bench.clean()
    bench.kod("install", "provider", TUTORIAL / "provider.py")
    bench.kod("install", "one", TUTORIAL / "user.py")
    again = bench.kod("install", "two", TUTORIAL / "user.py")
    assert "0 B sent" in again.err
    until(lambda: heard(bench, "one", "two"))


def test_installed_apps_start_by_themselves_after_a_restart(bench: SimulatedDevice) -> None:
    bench.clean()
    install_tutorial(bench)
    until(lambda: heard(bench, "user1"))
    bench.stop()
    bench.start()
    until(lambda: bench.console().rpartition("provider is installed")[2].count("received: hello"))
    assert set(bench.states().values()) == {"running"}


BAD_PROVIDER = """
from provider import NotificationServiceProvider
class Bad(NotificationServiceProvider):
    def handle(self, index, arguments, gid, client):
        if index == 1:
            raise ValueError("no sending today")
        return super().handle(index, arguments, gid, client)
async def main():
    Bad().install()
"""
CALLER = """
import asyncio
from client import NotificationServiceClient
async def main():
    client = await NotificationServiceClient().open()
    connection = await client.connect()
    try:
        await connection.send("hello")
    except Exception as error:
        print(type(error).__name__, error.type, error)
    client.close()
    client.close()
    connection.close()
    print("closed twice")
"""


def beside_the_tutorial(tmp_path: Path, name: str, text: str) -> Path:
    """A program that finds the tutorial's modules beside itself."""
    for module in TUTORIAL.glob("*.py"):
        (tmp_path / module.name).write_text(module.read_text())
    path = tmp_path / f"{name}.py"
    path.write_text(text)
    return path


def test_a_provider_that_raises_fails_the_call_and_not_itself(
    bench: SimulatedDevice, tmp_path: Path
) -> None:
    bench.clean()
    bench.kod("install", "provider", beside_the_tutorial(tmp_path, "bad_provider", BAD_PROVIDER))
    bench.kod("install", "caller", beside_the_tutorial(tmp_path, "caller", CALLER))
    log = until(lambda: (t := bench.kod("logs", "caller").out).count("closed twice") and t)
    assert "RemoteError ValueError" in log
    assert "no sending today" in log
    assert bench.states() == {"caller": "ended", "provider": "running"}


@pytest.mark.parametrize(
    ("statement", "state", "said"),
    [
        ("1 / 0", "waiting", "ZeroDivisionError"),
        ("import sys; sys.exit()", "ended", ""),
        ("import sys; sys.exit(3)", "waiting", ""),
    ],
)
def test_a_user_that_raises_or_exits_leaves_the_others_running(
    bench: SimulatedDevice, app: App, statement: str, state: str, said: str
) -> None:
    bench.clean()
    install_tutorial(bench)
    bad = app(
        "bad",
        "import asyncio\nasync def deep():\n    await asyncio.sleep(1)\n"
        f"    {statement}\nasync def main():\n    await deep()\n",
    )
    bench.kod("install", "bad", bad)
    until(lambda: bench.states()["bad"] == state)
    since = last_line(bench)
    until(lambda: heard(bench, "user1", "user2", since=since))
    if said:
        log = bench.kod("logs", "bad").out
        assert 'File "bad.py", line 4, in deep' in log
        assert 'File "bad.py", line 6, in main' in log
        assert said in log


def test_a_provider_that_crashes_is_seen_by_its_users_and_comes_back(
    bench: SimulatedDevice, tmp_path: Path
) -> None:
    bench.clean()
    text = (
        "import asyncio\nfrom provider import NotificationServiceProvider\n"
        "class Fragile(NotificationServiceProvider):\n    connected = False\n"
        "    def handle(self, index, arguments, gid, client):\n"
        "        self.connected = True\n"
        "        return super().handle(index, arguments, gid, client)\n"
        "async def main():\n    provider = Fragile()\n    provider.install()\n"
        "    while not provider.connected:\n        await asyncio.sleep(0.1)\n"
        "    raise OSError('sensor lost')\n"
    )
    bench.kod("install", "provider", beside_the_tutorial(tmp_path, "fragile", text))
    bench.kod("install", "user1", TUTORIAL / "user.py", "--no-wait")
    until(lambda: bench.kod("info", "user1", "--json").json()["restarts"] > 0)
    assert "ServiceClosed" in bench.kod("logs", "user1").out
    until(lambda: bench.kod("info", "provider", "--json").json()["restarts"] > 0)
    assert 'File "fragile.py", line 13, in main' in bench.kod("logs", "provider").out


def test_both_forms_of_the_tutorial_run_on_this_computer_and_end_by_themselves(
    bench: SimulatedDevice,
) -> None:
    spawned = bench.popen("run", "-d", "host", str(TUTORIAL / "spawn.py"))
    single = bench.popen("run", "-d", "host", str(TUTORIAL / "single.py"))
    with spawned, single:  # each takes ten seconds
        for run, names in (
            (spawned, {"process1", "process2", "process3"}),
            (single, {"runner1", "runner2", "runner3"}),
        ):
            out, err = run.communicate(timeout=40)
            assert run.returncode == 0, err
            everybody = {(who, sender) for who in names for sender in names - {who}}
            assert set(received(out)) == everybody


STARTS = """
import asyncio, sys
sys.path[:0] = sys.argv[1:3]
import kodkod
from client import NotificationServiceClient
from provider import NotificationServiceProvider
found = 0
async def use():
    global found
    client = await NotificationServiceClient().open()
    await client.connect()
    found += 1
    client.close()
async def provide():
    provider = NotificationServiceProvider()
    provider.install()
    await asyncio.sleep_ms(20)
    await provider.uninstall()
def main():
    for n in range(4):
        kodkod.spawn(provide if n == order else use)
for start in range(100):
    order = start % 4
    assert kodkod.run(main) == 0
print(found)
"""


def test_the_interface_is_that_of_toits_tutorial() -> None:
    said = "import sys; sys.path[:0] = sys.argv[1:]; from service import NotificationService as N;"
    said += "s = N.SELECTOR; print(s.uuid, s.major, s.minor,"
    said += "N.CONNECT_INDEX, N.CONNECTION_SEND_INDEX)"
    result = subprocess.run(
        [*micropython.command(), "-c", said, ROOT / "lib", TUTORIAL],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.stdout == "c6f4862f-c17f-4624-865b-fa19467865c5 0 1 0 1\n", result


def test_a_hundred_starts_in_a_row_all_find_the_service(tmp_path: Path) -> None:
    script = tmp_path / "starts.py"
    script.write_text(STARTS)
    result = subprocess.run(
        [*micropython.command(), script, ROOT / "lib", TUTORIAL],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.stdout == "300\n", result


def test_the_demo_shows_the_tutorial_and_leaves_nothing_running() -> None:
    result = subprocess.run(
        [sys.executable, TUTORIAL / "demo.py", "--seconds", "3"],
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert result.returncode == 0, result
    for words in ("$ kod install provider provider.py", "received: hello from", "'user1' uninst"):
        assert words in result.stdout
    processes = subprocess.run(["ps", "axww"], capture_output=True, text=True).stdout
    assert "kodkod-demo-" not in processes
