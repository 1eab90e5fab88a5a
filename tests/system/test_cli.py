"""kod against a simulated device: what works, and one clear line for everything that does not."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kod import Device, config, link
from simulated_device import SimulatedDevice, until

TICKER = """
import asyncio
async def main(*args):
    n = 0
    while True:
        print("tick", n, *args)
        n += 1
        await asyncio.sleep(0.05)
"""
LONG_STEPS = """
import asyncio, time
async def main():
    while True:
        time.sleep(1.7)
        await asyncio.sleep(0)
"""
ONCE = "print('hello from', __name__)\n"
CRASH = """
def inner():
    raise ValueError("this app is broken")

async def main():
    print("about to fail")
    inner()
"""

App = Callable[[str, str], Path]


@pytest.fixture(autouse=True)
def _clean(bench: SimulatedDevice) -> Iterator[None]:
    yield
    bench.clean()


def one_line(err: str) -> str:
    """The one line that a mistake is worth."""
    assert err.startswith("kod: "), err
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    return err


# --- what works


def test_install_list_stop_start_uninstall(bench: SimulatedDevice, app: App) -> None:
    assert bench.started_kod("list", "--json").json() == []
    installed = bench.started_kod("install", "clock", app("ticker", TICKER))
    assert "clock installed on 'bench' (sent " in installed.err
    (record,) = bench.started_kod("list", "--json").json()
    assert (record["name"], record["state"], record["restarts"]) == ("clock", "running", 0)
    assert re.search(r"^clock +running ", bench.started_kod("list").out, re.M)
    bench.started_kod("stop", "clock")
    assert bench.states() == {"clock": "stopped"}
    bench.started_kod("start", "clock")
    assert bench.states() == {"clock": "running"}
    bench.started_kod("restart", "clock")
    assert bench.states() == {"clock": "running"}
    bench.started_kod("uninstall", "clock")
    assert bench.states() == {}


def test_what_an_app_has_spawned_goes_with_it_or_by_its_own_name(
    bench: SimulatedDevice, app: App
) -> None:
    text = (
        "import asyncio, kodkod\nfrom kodkod import service\nasync def child():\n"
        "    @service('fam/s')\n    class S:\n        def ver(self, client):\n"
        "            return {}\n    await asyncio.sleep(1000)\n"
        "async def main():\n    kodkod.spawn(child)\n    await asyncio.sleep(1000)\n"
    )
    for version in ("1", "2"):
        bench.kod("install", "fam", app("fam", text.format(version)), "--no-probation")
        until(lambda: bench.kod("call", "fam/s", "ver", code=None).out)
        assert bench.kod("call", "fam/s", "ver").out == version + "\n"
    (child,) = set(bench.states()) - {"fam"}
    assert "stopped" in bench.kod("stop", child).err
    assert bench.states() == {"fam": "running"}
    bench.kod("restart", "fam")
    until(lambda: len(bench.states()) == 2)
    bench.kod("uninstall", "fam")
    assert bench.states() == {}


def test_no_app_can_cut_the_device_off_by_what_it_sets_on_classes_that_it_imports(
    bench: SimulatedDevice, app: App
) -> None:
    text = (
        "import asyncio\n"
        "def broken(*args, **options):\n    raise RuntimeError('patched')\n"
        "for kind in (asyncio.Event, asyncio.Lock, asyncio.ThreadSafeFlag):\n"
        "    kind.set = kind.wait = kind.acquire = broken\n"
        "from kodkod.services import ServiceClient\n"
        "ServiceClient.open = ServiceClient.invoke = ServiceClient.close = broken\n"
        "async def main():\n    print('done')\n    await asyncio.sleep(1000)\n"
    )
    bench.kod("install", "bad", app("bad", text), "--no-probation")
    until(lambda: "done" in bench.kod("logs", "bad").out)
    process = bench.run_json["device_pid"]
    bench.kod("reset")
    until(lambda: bench.run_json["device_pid"] != process)
    until(lambda: bench.states() == {"bad": "running"})
    until(lambda: "done" in bench.kod("logs", "bad").out)
    bench.kod("uninstall", "bad")


def test_jaguars_names_are_understood(bench: SimulatedDevice, app: App) -> None:
    bench.kod("container", "install", "clock", app("ticker", TICKER))
    assert "clock" in bench.kod("container", "list").out
    bench.kod("container", "uninstall", "clock")


def test_the_same_again_sends_nothing_and_says_so(bench: SimulatedDevice, app: App) -> None:
    program = app("ticker", TICKER.replace("tick", "said only here"))
    first = bench.kod("install", "clock", program, "--json").json()
    assert first["sent"] == first["size"] > 0
    again = bench.kod("install", "clock", program)
    assert "runs already, with the same image and settings: nothing sent" in again.err
    other = bench.kod("install", "second", program)
    assert "the device had the image: 0 B sent" in other.err
    assert bench.states() == {"clock": "running", "second": "running"}


def test_a_new_version_replaces_the_old_one(bench: SimulatedDevice, app: App) -> None:
    bench.kod("install", "clock", app("ticker", TICKER))
    new = app("ticker", TICKER.replace("tick", "tock"))
    replaced = bench.kod("install", "clock", new, "--no-wait")
    assert "clock replaced on 'bench'" in replaced.err
    until(lambda: "tock" in bench.kod("logs", "clock").out)
    assert bench.states() == {"clock": "running"}


def test_arguments_defines_and_settings_arrive(bench: SimulatedDevice, app: App) -> None:
    program = app(
        "show",
        "import kodkod\nasync def main(*args):\n    print(args, kodkod.defines['a'])\n",
    )
    bench.kod("install", "show", program, "-D", "a=5", "--restart", "never", "--", "x", "y")
    until(lambda: "('x', 'y') 5" in bench.kod("logs", "show").out)
    config = ("config", "app", "show", "--json")
    settings = bench.kod(*config).json()
    assert settings == {"args": ["x", "y"], "defines": {"a": 5}, "restart": "never"}
    changed = bench.kod(*config, "--unset", "args", "--timeout", "5s").json()
    assert changed == {"defines": {"a": 5}, "restart": "never", "timeout_ms": 5000}


def test_logs_show_time_app_and_text(bench: SimulatedDevice, app: App) -> None:
    bench.kod("install", "hello", app("once", ONCE))
    line = until(lambda: bench.kod("logs", "hello").out)
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3}  hello       hello from once\n", line)
    (entry,) = map(json.loads, bench.kod("logs", "hello", "--json").out.splitlines())
    assert (entry["app"], entry["text"], entry["level"]) == ("hello", "hello from once", 1)


def test_logs_follow_until_ctrl_c(bench: SimulatedDevice, app: App) -> None:
    bench.kod("install", "clock", app("ticker", TICKER))
    with bench.popen("logs", "-f", "clock") as follower:
        try:
            seen = [follower.stdout.readline() for _ in range(20)]
        finally:
            follower.send_signal(signal.SIGINT)
        follower.communicate(timeout=20)
    numbers = [int(re.search(r"tick (\d+)", line).group(1)) for line in seen]
    assert numbers == list(range(numbers[0], numbers[0] + 20))
    assert follower.returncode == 130


def test_run_shows_the_output_and_passes_the_exit_code_on(
    bench: SimulatedDevice, app: App
) -> None:
    assert bench.started_kod("run", app("once", ONCE)).out == "hello from once\n"
    bench.started_kod("run", app("three", "import sys\nprint('x')\nsys.exit(3)\n"), code=3)
    failed = bench.started_kod("run", app("crash", CRASH), code=1)
    assert "about to fail" in failed.out
    assert 'File "crash.py", line 3, in inner' in failed.out
    assert "ValueError: this app is broken" in failed.out


@pytest.mark.parametrize("where", [(), ("-d", "host")], ids=["device", "host"])
def test_a_script_is_the_main_program_and_starts_itself_once(
    bench: SimulatedDevice, app: App, where: tuple[str, ...]
) -> None:
    text = "async def main():\n    print('once')\nif __name__ == '__main__':\n"
    script = app("script", f"import asyncio\n{text}    asyncio.run(main())\n")
    assert bench.kod("run", *where, script).out == "once\n"
    plain = app(
        "plain", "def main():\n    print('once')\nif __name__ == '__main__':\n    main()\n"
    )
    assert bench.kod("run", *where, plain).out == "once\n"


@pytest.mark.parametrize("where", ["tcp", "console"])
def test_a_run_that_prints_more_than_the_line_carries_says_what_is_missing(
    bench: SimulatedDevice, app: App, where: str
) -> None:
    device = bench.settings["id"] if where == "tcp" else bench.run_json["console"]
    flood = app("flood", "for n in range(500): print('line', n)\n")
    run = bench.kod("run", flood, "-d", device)
    numbers = [int(line.split()[1]) for line in run.out.splitlines()]
    lost = sum(map(int, re.findall(r"\.\.\. (\d+) lines lost", run.err)))
    assert lost > 0
    assert len(numbers) + lost == 500
    assert numbers[-1] == 499


def test_run_stops_with_ctrl_c_and_leaves_nothing(bench: SimulatedDevice, app: App) -> None:
    with bench.popen("run", str(app("ticker", TICKER)), "a", "b") as running:
        assert "tick 0 a b" in running.stdout.readline()
        assert [one["state"] for one in bench.kod("list", "--json").json()] == ["running"]
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=20)
    assert running.returncode == 130
    until(lambda: bench.kod("list", "--json").json() == [])


def test_services_and_call(bench: SimulatedDevice) -> None:
    names = [one["name"] for one in bench.kod("services", "--json").json()]
    assert {"kodkod/apps", "kodkod/log", "kodkod/device"} <= set(names)
    assert bench.kod("call", "kodkod/apps", "list").out == "[]\n"
    about = bench.kod("call", "kodkod/device", "info").json()
    assert about["name"] == "bench"


def test_ping_info_and_devices(bench: SimulatedDevice) -> None:
    assert "'bench' at 127.0.0.1:" in bench.kod("ping").out
    assert len(bench.kod("ping", "-n", "3", "--json").json()["ms"]) == 3
    assert bench.kod("info", "--json").json()["id"] == bench.settings["id"]
    (known,) = bench.kod("devices", "--json").json()
    assert (known["name"], known["running"], known["last_used"]) == ("bench", True, True)
    assert bench.settings["key"] not in bench.kod("devices", "--json").out


@pytest.mark.parametrize(
    "form",
    [
        "bench",
        "{id}",
        "127.0.0.1:{port}",
        "sim",
        "localhost:{port}",
        "{console}",
        "alt://{console}",
    ],
)
def test_every_form_of_d_reaches_it(bench: SimulatedDevice, form: str) -> None:
    spec = form.format(**bench.settings, console=bench.run_json["console"])
    assert bench.kod("ping", "-d", spec, "--json").json()["id"] == bench.settings["id"]
    assert bench.kod("-d", spec, "ping", "--json").json()["id"] == bench.settings["id"]


def test_several_devices_are_done_in_turn(bench: SimulatedDevice) -> None:
    both = bench.kod("ping", "-d", "bench", "-d", "nowhere", "--json", code=3)
    assert both.out.count("\n") == 1
    every = bench.kod("ping", "--all", "--json").json()
    assert list(every) == ["bench"]


def test_of_several_devices_each_shows_its_traceback(bench: SimulatedDevice, app: App) -> None:
    off = config.Known("00ff00ff00ff", "off", "0" * 32, "127.0.0.1", 1)
    config.remember(off)
    try:
        words = ("install", "crash", app("crash", CRASH), "-d", "bench", "-d", "off", "--json")
        failed = bench.kod(*words, code=1)
    finally:
        config.forget(off)
    assert failed.err.index("ValueError: this app is broken") < failed.err.index("kod: 'crash'")
    bench_said, off_said = failed.json()["bench"], failed.json()["off"]
    assert (bench_said["code"], bench_said["type"]) == (1, "AppFailure")
    assert "ValueError: this app is broken" in bench_said["detail"]
    assert (off_said["code"], off_said["type"]) == (3, "NotThere")


def test_the_library_does_what_the_command_does(bench: SimulatedDevice, app: App) -> None:
    with Device.find("bench") as device:
        done = device.install("clock", app("ticker", TICKER))
        assert done.size > 0
        assert [one["name"] for one in device.list()] == ["clock"]
        lines = device.follow("clock")
        assert "tick" in next(lines).text
        with device.run(app("once", ONCE)) as run:
            assert [text for _, _, text in run.lines()] == ["hello from once"]
            assert run.code == 0
        device.uninstall("clock")
        assert device.list() == []


def test_install_run_and_logs_go_over_the_console_too(bench: SimulatedDevice, app: App) -> None:
    console = bench.run_json["console"]
    bench.kod("install", "-d", console, "clock", app("ticker", TICKER))
    assert bench.kod("run", "-d", console, app("once", ONCE)).out == "hello from once\n"
    assert "tick" in bench.kod("logs", "-d", console, "clock").out
    bench.kod("uninstall", "-d", console, "clock")


def test_scan_finds_it(bench: SimulatedDevice) -> None:
    (found,) = bench.kod("scan", "bench", "--json").json()
    assert (found["id"], found["known"]) == (bench.settings["id"], True)
    bench.kod("scan", "nowhere", "--timeout", "50ms", code=3)


def test_a_device_can_be_told_by_address_and_key_and_forgotten(bench: SimulatedDevice) -> None:
    record = bench.home / "devices" / f"{bench.settings['id']}.json"
    before = record.read_text()
    address = f"127.0.0.1:{bench.settings['port']}"
    bench.kod("devices", "forget", "bench")
    try:
        one_line(bench.kod("ping", "-d", "bench", code=3).err)
        one_line(bench.kod("ping", "-d", address, code=5).err)
        one_line(bench.kod("devices", "add", address, "--key", "00" * 16, code=5).err)
        bench.kod("devices", "add", address, "--key", bench.settings["key"])
        assert bench.kod("ping", "-d", "bench", "--json").json()["id"] == bench.settings["id"]
    finally:
        record.write_text(before)


def test_its_heap_can_be_that_of_an_esp32(tmp_path: Path) -> None:
    small = SimulatedDevice(tmp_path, "small", ("--heap", "320k"))
    try:
        small.start()
        assert small.kod("info", "--json").json()["free_ram"] < 320 * 1024
    finally:
        small.stop()


# --- what does not


@pytest.mark.parametrize("verb", [["install", "x"], ["run"], ["build"], ["run", "-d", "host"]])
def test_a_missing_file(bench: SimulatedDevice, verb: list[str]) -> None:
    err = one_line(bench.kod(*verb, "nothing.py", code=2).err)
    assert "nothing.py" in err


def test_a_file_that_does_not_compile_is_shown_with_a_caret_and_nothing_is_sent(
    bench: SimulatedDevice, app: App
) -> None:
    bench.started_kod("install", "clock", app("ticker", TICKER))
    bad = app("ticker", "def main():\n    x = (1 +\n")
    wrong = bench.started_kod("install", "clock", bad, code=2)
    assert re.search(r"^kod: .*ticker\.py:2: ", wrong.err, re.M)
    assert re.search(r"^ +\^$", wrong.err, re.M)
    record = bench.started_kod("info", "clock", "--json").json()
    assert (record["state"], record["restarts"]) == ("running", 0)


def test_an_import_of_what_does_not_exist(bench: SimulatedDevice, app: App) -> None:
    wrong = bench.kod("install", "x", app("wants", "import nosuchmodule\n"), code=2)
    assert re.search(r"^kod: .*wants\.py:1: .*nosuchmodule", wrong.err, re.M)
    assert bench.states() == {}


@pytest.mark.parametrize(
    "verb", ["start", "stop", "restart", "uninstall", "info", "config app", "logs"]
)
def test_a_name_that_is_not_installed(bench: SimulatedDevice, verb: str) -> None:
    assert "'nobody'" in one_line(bench.kod(*verb.split(), "nobody", code=3).err)


def test_an_app_that_fails_at_once_fails_its_install(bench: SimulatedDevice, app: App) -> None:
    failed = bench.kod("install", "crash", app("crash", CRASH), code=1)
    assert 'File "crash.py", line 3, in inner' in failed.err
    assert "\nkod: 'crash' is installed but failed" in failed.err
    log = bench.kod("logs", "crash").out
    assert 'File "crash.py", line 3, in inner' in log
    assert "ValueError: this app is broken" in log


def test_an_app_with_long_settings_and_a_long_traceback_can_be_looked_at(
    bench: SimulatedDevice, app: App
) -> None:
    program = app("long", "raise ValueError('x' * 3000)\n")
    install = ("install", "long", program, "--restart", "never")
    failed = bench.kod(*install, "-D", f"k={'v' * 1400}", code=1)
    assert 'File "long.py", line 1' in failed.err
    assert 'File "long.py", line 1' in bench.kod("info", "long").out
    assert "v" * 1400 in bench.kod("config", "app", "long").out
    assert "may take 1500 bytes" in one_line(
        bench.kod(*install, "-D", f"k={'v' * 3000}", code=2).err
    )
    more = bench.kod("config", "app", "long", "-D", f"more={'v' * 200}", code=1)
    assert "1500 are allowed: put what is long into a file" in one_line(more.err)
    bench.kod("uninstall", "long")


def test_an_app_that_provides_the_systems_services_can_be_listed_and_removed(
    bench: SimulatedDevice, app: App
) -> None:
    names = {"apps": 1, "log": 2, "device": 3, "network": 4}
    text = "from kodkod.services import ServiceProvider, ServiceSelector\n"
    text += "class Impostor(ServiceProvider):\n    def handle(self, *_):\n        return 5\n"
    text += "def main():\n"
    for name, number in names.items():
        uuid = f"b7f2a1de-000{number}-4c1e-9a53-6b6f646b6f64"
        text += f"    one = Impostor('kodkod/{name}', 1, 0)\n"
        text += f"    one.provides(ServiceSelector({uuid!r}, 1, 0), one, priority=255)\n"
        text += "    one.install()\n"
    bench.kod("install", "impostor", app("impostor", text))
    assert bench.states()["impostor"] == "running"
    assert bench.kod("info", "--json").json()["name"]
    bench.kod("logs")
    bench.kod("config", "wifi")
    bench.kod("uninstall", "impostor")


def test_no_text_of_an_app_keeps_people_from_reading_what_there_is(
    bench: SimulatedDevice, app: App
) -> None:
    emoji = "print('\\ud83d\\ude00 as json.loads gives one')\n"
    program = app("text", emoji + "print('\\U0001f600' * 600)\nraise ValueError('漢' * 3000)\n")
    failed = bench.kod("install", "text", program, "--restart", "never", code=1)
    assert "'text' is installed but failed" in failed.err
    assert "?? as json.loads gives one" in bench.kod("logs").out
    assert 'File "text.py", line 3' in bench.kod("info", "text").out
    bench.kod("uninstall", "text")


def test_an_app_with_steps_that_are_just_not_too_long_can_be_seen_and_stopped(
    bench: SimulatedDevice, app: App
) -> None:
    bench.kod("install", "busy", app("busy", LONG_STEPS))
    assert "busy" in bench.kod("list").out
    assert "stopped" in bench.kod("stop", "busy").err


def test_a_new_version_that_fails_gives_way_to_the_old_one(
    bench: SimulatedDevice, app: App
) -> None:
    bench.kod("install", "clock", app("ticker", TICKER))
    failed = bench.kod("install", "clock", app("ticker", CRASH), code=1)
    assert "ValueError: this app is broken" in failed.err
    assert "\nkod: the new version of 'clock' failed; the one before it runs again" in failed.err
    until(lambda: bench.states() == {"clock": "running"})


def test_a_service_or_method_that_is_not_there(bench: SimulatedDevice) -> None:
    one_line(bench.kod("call", "no/such", "x", "--json", code=3).err)
    one_line(bench.kod("call", "kodkod/apps", "fly", code=3).err)
    one_line(bench.kod("call", "kodkod/apps", "stop", "nobody", code=3).err)


def test_a_wrong_key(bench: SimulatedDevice) -> None:
    record = bench.home / "devices" / f"{bench.settings['id']}.json"
    right = record.read_text()
    record.write_text(right.replace(bench.settings["key"], "00" * 16))
    try:
        assert "key" in one_line(bench.kod("list", code=5).err)
        record.write_text(right.replace(bench.settings["key"], ""))
        assert "key" in one_line(bench.kod("list", code=5).err)
    finally:
        record.write_text(right)
    bench.kod("list")


def test_a_port_in_use(bench: SimulatedDevice, tmp_path: Path) -> None:
    port = str(bench.settings["port"])
    taken = bench.kod("simulate", "--folder", tmp_path / "x", "--port", port, code=1)
    assert f"port {port} is in use" in one_line(taken.err)


def test_what_answers_there_is_no_device(bench: SimulatedDevice) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        address = f"127.0.0.1:{stranger.getsockname()[1]}"
        assert "no key" in one_line(bench.kod("list", "-d", address, code=5).err)


def test_a_device_that_goes_away_ends_what_waits(bench: SimulatedDevice, app: App) -> None:
    bench.kod("install", "clock", app("ticker", TICKER))
    with bench.popen("logs", "-f", "clock") as follower:
        try:
            follower.stdout.readline()
            bench.cut_power()
            _, err = follower.communicate(timeout=60)
        finally:
            follower.kill()
    assert follower.returncode == 4
    one_line(err)
    stopped = bench.kod("list", code=3)
    assert "simulated device 'bench' does not run" in one_line(stopped.err)
    bench.start()
    assert bench.states() == {"clock": "running"}


def test_power_cut_in_an_upload_is_no_success_and_leaves_nothing(
    bench: SimulatedDevice, app: App, tmp_path: Path
) -> None:
    assets = tmp_path / "assets"
    assets.mkdir()
    for number in range(8):
        (assets / f"{number}.bin").write_bytes(os.urandom(100_000))
    with bench.popen("install", "big", str(app("once", ONCE)), "--assets", str(assets)) as sender:
        try:
            until(lambda: sum(1 for _ in (bench.folder / "apps").rglob("*.bin")) > 2)
            bench.cut_power()
            _, err = sender.communicate(timeout=60)
        finally:
            sender.kill()
    assert sender.returncode == 4
    one_line(err)
    bench.start()
    assert bench.states() == {}
    assert not list((bench.folder / "apps").rglob("*.bin"))


def test_more_commands_at_once_than_the_device_has_links(bench: SimulatedDevice) -> None:
    commands = [bench.popen("ping", "-n", "20", "--json") for _ in range(8)]
    ended = [command.communicate(timeout=60) for command in commands]
    assert [command.returncode for command in commands] == [0] * 8, ended


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="nothing tells what it waits for")
def test_an_interrupt_that_comes_when_nothing_runs_ends_no_device(bench: SimulatedDevice) -> None:
    # MicroPython raises it wherever it strikes, in a collection too, so it must strike nothing:
    # a link that was closed may still be cleared away.
    device = bench.run_json["device_pid"]
    for _ in range(3):
        until(lambda: is_idle(device))
        os.kill(device, signal.SIGINT)
        bench.kod("ping", "-n", "2")
    assert bench.run_json["device_pid"] == device


def is_idle(pid: int) -> bool:
    """Whether the main thread of that process waits, and goes on waiting."""

    def pauses() -> str:
        status = Path(f"/proc/{pid}/task/{pid}/status").read_text()
        return "\n".join(line for line in status.splitlines() if "ctxt_switches" in line)

    before = pauses()
    time.sleep(0.1)
    return pauses() == before


def test_a_reset_starts_the_installed_apps_again(bench: SimulatedDevice, app: App) -> None:
    bench.kod("install", "clock", app("ticker", TICKER))
    processes = {bench.run_json["device_pid"]}
    for _ in range(5):  # more than the boots that safe mode counts
        bench.kod("reset")
        until(lambda: bench.run_json["device_pid"] not in processes)
        processes.add(bench.run_json["device_pid"])
        until(lambda: bench.states() == {"clock": "running"})
    assert bench.kod("info", "--json").json()["boot_reason"] == "reset"


@pytest.mark.parametrize("way", ["name", "console"])
def test_a_reset_is_answered_before_it_comes(bench: SimulatedDevice, way: str) -> None:
    process = bench.run_json["device_pid"]
    with Device.find(bench.run_json.get(way, bench.settings["name"])) as device:
        device.open("kodkod/device").call("reset", [])  # a line that is lost is an exception
    until(lambda: bench.run_json["device_pid"] != process)


def test_a_device_that_comes_up_between_two_looks_at_it_is_reached(
    bench: SimulatedDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = link.connect_tcp
    refused = iter([link.LinkLost("refused: it boots")])

    def connect_later(*arguments: Any) -> link.Connection:
        for error in refused:
            raise error
        return connect(*arguments)

    monkeypatch.setattr(link, "connect_tcp", connect_later)
    assert bench.kod("list", "--json").json() == []


# --- on this computer


def test_run_on_this_computer_passes_arguments_and_exit_code(
    bench: SimulatedDevice, app: App
) -> None:
    program = app("args", "import sys\ndef main(*args):\n    print(args)\n    sys.exit(7)\n")
    done = bench.started_kod("run", "-d", "host", program, "a", "--", "-b", code=7)
    assert done.out == "('a', '-b')\n"


def test_run_on_this_computer_has_the_settings_that_it_has_on_a_device(
    bench: SimulatedDevice, app: App
) -> None:
    program = app(
        "shows", "import kodkod\ndef main(*args):\n    print(sorted(kodkod.defines), args)\n"
    )
    toml = program.with_name("kodkod.toml")
    toml.write_text('[settings]\ndefines = {pin = 4}\nargs = ["q"]\n')
    try:
        for place in ([], ["-d", "host"]):
            assert bench.kod("run", *place, program).out == "['pin'] ('q',)\n"
            words = bench.kod("run", *place, "-D", "a=1", program, "x" * 300).out
            assert words == f"['a', 'pin'] ('{'x' * 300}',)\n"
    finally:
        toml.unlink()
    said = bench.kod("run", "-d", "host", "--json", program).json()
    assert (said["text"], said["level"]) == ("[] ()", 1)
    ticker = app("ticker", TICKER)
    assert (
        "its timeout has passed" in bench.kod("run", "-d", "host", "--timeout", "0.1", ticker).out
    )
    endless = app("endless", "while True: pass\n")
    run = bench.kod("run", "-d", "host", "--limit", "120ms", endless, code=1)
    assert "no pause for 120 ms" in run.out


@pytest.mark.parametrize("place", [(), ("-d", "host")], ids=["device", "host"])
def test_an_app_reads_its_assets_beside_its_modules(
    bench: SimulatedDevice, app: App, tmp_path: Path, place: tuple[str, ...]
) -> None:
    (tmp_path / "assets" / "texts").mkdir(parents=True)
    (tmp_path / "assets" / "texts" / "note.txt").write_text("a note")
    reads = app(
        "reads",
        'HERE = __file__.rsplit("/", 1)[0]\n'
        'with open(HERE + "/texts/note.txt") as file:\n    print(file.read())\n',
    )
    assert bench.kod("run", *place, reads, "--assets", tmp_path / "assets").out == "a note\n"


@pytest.mark.parametrize("verb", ["run", "watch"])
@pytest.mark.parametrize("place", [(), ("-d", "host")], ids=["device", "host"])
def test_when_its_reader_leaves_it_ends_quietly(
    bench: SimulatedDevice, app: App, verb: str, place: tuple[str, ...]
) -> None:
    with bench.popen(verb, *place, str(app("ticker", TICKER))) as running:
        assert running.stdout.readline() == "tick 0\n"
        running.stdout.close()
        assert running.wait(20) == 0
        assert "Traceback" not in running.stderr.read()


def test_run_on_this_computer_stops_gracefully_with_ctrl_c(
    bench: SimulatedDevice, app: App
) -> None:
    program = app(
        "tidy",
        "import asyncio\n"
        "async def main():\n"
        "    try:\n"
        "        print('up')\n"
        "        await asyncio.sleep(100)\n"
        "    finally:\n"
        "        print('tidied up')\n",
    )
    with bench.popen("run", "-d", "host", str(program)) as running:
        assert running.stdout.readline() == "up\n"
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=20)
    assert out == "tidied up\n"
    assert running.returncode == 130
    assert err == ""


def test_run_on_this_computer_leaves_nothing_when_kod_is_killed(
    bench: SimulatedDevice, app: App
) -> None:
    program = app(
        "busy",
        "import asyncio, os\n"
        "async def main():\n"
        "    with open('/proc/self/stat') as file: print(file.read().split()[0])\n"
        "    while True: await asyncio.sleep(0)\n",
    )
    with bench.popen("run", "-d", "host", str(program)) as running:
        pid = int(running.stdout.readline())
        running.kill()
    until(lambda: not Path(f"/proc/{pid}").exists())


def test_what_runs_on_this_computer_is_checked_before(bench: SimulatedDevice, app: App) -> None:
    wrong = bench.kod("run", "-d", "host", app("bad", "def main():\n    x = (1 +\n"), code=2)
    assert re.search(r"^kod: .*bad\.py:2: ", wrong.err, re.M)


def test_a_missing_micropython_is_said(
    bench: SimulatedDevice, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MICROPYTHON", "/no/such/program")
    err = one_line(bench.kod("run", "-d", "host", app("once", ONCE), code=2).err)
    assert "MICROPYTHON=/no/such/program" in err
