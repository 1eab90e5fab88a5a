"""`kod build`, `install`, `config app`, `list`, `info`, `restart`, as a person uses them and as
what goes wrong uses them."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kod.build import read_image
from kod.build.image import make_image
from simulated_device import Result, SimulatedDevice, in_process, until

App = Callable[[str, str], Path]

SHOWS = """
import asyncio, kodkod
print("defines", sorted(kodkod.defines.items()))
async def main():
    while True:
        await asyncio.sleep(1)
"""

SERVICE = """
from kodkod import service
@service("thermo")
class Thermo:
    async def read(self):
        return 5
"""

Kod = Callable[..., Result]


@pytest.fixture
def kod(bench: SimulatedDevice, capsys: pytest.CaptureFixture[str]) -> Iterator[Kod]:
    """`kod` on the device, in this process."""
    yield in_process(capsys)
    with bench.connect() as device:
        for record in device.list():
            device.uninstall(record["name"])


def images(bench: SimulatedDevice) -> list[str]:
    """What lies in the device's store."""
    folder = bench.folder / "apps"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def last_line(kod: Kod, name: str) -> str:
    return kod("logs", name).out.splitlines()[-1].split("  ")[-1].strip()


def test_a_built_image_installs_under_two_names_with_different_settings(
    bench: SimulatedDevice, kod: Kod, app: App, tmp_path: Path
) -> None:
    image = tmp_path / "out.kod"
    said = kod("build", app("shows", SHOWS), "-o", image, "--json").json()
    again = kod("build", app("shows", SHOWS), "-o", tmp_path / "two.kod").out
    assert image.read_bytes() == (tmp_path / "two.kod").read_bytes()
    assert said["id"][:12] in again
    kod("install", "one", image, "-D", "n=1")
    twin = kod("install", "two", image, "-D", "n=2", "--interval", "1h")
    assert "0 B sent" in twin.err
    assert images(bench) == [said["id"][:12]]
    until(lambda: kod("logs", "two").out)
    assert last_line(kod, "one") == "defines [('n', 1)]"
    assert last_line(kod, "two") == "defines [('n', 2)]"
    kod("uninstall", "one")
    assert images(bench) == [said["id"][:12]]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda data: data[:-1], "is no app image"),
        (lambda data: data[:40] + b"?" + data[41:], "is no app image"),
        (lambda data: b"", "is no app image"),
    ],
    ids=["cut", "changed", "empty"],
)
def test_a_damaged_image_file_is_refused_before_it_is_sent(
    bench: SimulatedDevice,
    kod: Kod,
    app: App,
    tmp_path: Path,
    spoil: Callable[[bytes], bytes],
    said: str,
) -> None:
    image = tmp_path / "out.kod"
    kod("build", app("shows", SHOWS), "-o", image)
    image.write_bytes(spoil(image.read_bytes()))
    assert said in kod("install", "one", image, code=2).err
    assert images(bench) == []


def test_what_comes_too_late_for_a_built_image_is_said(
    bench: SimulatedDevice, kod: Kod, app: App, tmp_path: Path
) -> None:
    image = tmp_path / "out.kod"
    kod("build", app("shows", SHOWS), "-o", image)
    assert "come too late" in kod("install", "one", image, "--source", code=2).err
    assert "cannot be read" in kod("install", "one", tmp_path / "no.kod", code=2).err
    assert "cannot be written" in kod("build", app("shows", SHOWS), "-o", ".", code=2).err


def test_an_image_for_another_mpy_version_is_refused_before_it_is_sent(
    bench: SimulatedDevice, kod: Kod, app: App, tmp_path: Path
) -> None:
    kod("install", "clock", app("shows", SHOWS))
    before = kod("info", "clock", "--json").json()
    later = make_image("main", {"main.mpy": b"M\x07\x00\x1f\x00\x00"}, mpy=(7, 0))
    (tmp_path / "later.kod").write_bytes(later.data)
    refused = kod("install", "clock", tmp_path / "later.kod", code=1)
    assert re.search(
        r"main\.mpy is \.mpy version 7\.0, the device loads 6\.3: .*--source", refused.err
    )
    assert images(bench) == [before["id"][:12]]
    after = kod("info", "clock", "--json").json()
    assert (after["gid"], after["state"]) == (before["gid"], "running")


@pytest.mark.parametrize("name", ["Clock", "a.b", "9a", "kod", "kodkod", "x" * 33, "ä"])
def test_a_name_that_a_device_refuses_is_refused_before_anything_is_sent(
    bench: SimulatedDevice, kod: Kod, app: App, name: str
) -> None:
    refused = kod("install", name, app("shows", SHOWS), code=2)
    assert "cannot name an app: take 1 to 32 of a-z 0-9 _ -" in refused.err
    assert refused.err.count("\n") == 1
    assert images(bench) == []


def test_what_the_project_says_counts_where_the_installation_says_nothing(
    bench: SimulatedDevice, kod: Kod, app: App, tmp_path: Path
) -> None:
    (tmp_path / "kodkod.toml").write_text(
        "[settings]\nrestart = 'always'\ndefines = { pin = 4, led = 2 }\n"
    )
    kod("install", "shows", app("shows", SHOWS), "-D", "pin=5")
    until(lambda: kod("logs", "shows").out)
    assert last_line(kod, "shows") == "defines [('led', 2), ('pin', 5)]"
    record = kod("info", "shows", "--json").json()
    assert record["settings"] == {"defines": {"pin": 5}}
    assert record["defaults"] == {"restart": "always", "defines": {"pin": 4, "led": 2}}
    text = kod("info", "shows").out
    assert re.search(r"^settings +-D pin=5$", text, re.M)
    assert re.search(r"^by default +-D led=2 -D pin=4 --restart always$", text, re.M)


def test_config_app_changes_one_thing_without_a_new_image(
    bench: SimulatedDevice, kod: Kod, app: App
) -> None:
    kod("install", "shows", app("shows", SHOWS), "-D", "a=1", "-D", "b=two")
    config = ("config", "app", "shows")
    changed = kod(*config, "-D", "a=9", "--interval", "90s", "--after", "x", "--limit", "1500ms")
    assert changed.out == 'shows: --after x -D a=9 -D b="two" --interval 1m30s --limit 1s500ms\n'
    until(lambda: last_line(kod, "shows") == "defines [('a', 9), ('b', 'two')]")
    kod(
        *config,
        "--unset",
        "defines.a",
        "--unset",
        "interval",
        "--unset",
        "after",
        "--unset",
        "limit",
    )
    until(lambda: last_line(kod, "shows") == "defines [('b', 'two')]")
    kod(*config, "--unset", "defines")
    until(lambda: last_line(kod, "shows") == "defines []")
    assert kod(*config).out == "shows: all as by default\n"
    assert kod(*config, "--json").json() == {}
    assert len(images(bench)) == 1


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("app", "shows", "--unset", "speed"), 2, "'speed' is no setting; take interval"),
        (("app", "shows", "--unset", "restart.x"), 2, "is no setting"),
        (("app", "shows", "--interval", "soon"), 2, "is no duration"),
        (("app", "shows", "--restart", "often"), 2, "invalid choice"),
        (("app", "nobody", "-D", "a=1"), 3, "no app 'nobody' is installed"),
        (("app",), 2, "name"),
        ((), 2, "required"),
    ],
)
def test_a_config_that_makes_no_sense_is_one_line(
    bench: SimulatedDevice, kod: Kod, app: App, options: tuple[str, ...], code: int, said: str
) -> None:
    kod("install", "shows", app("shows", SHOWS), "--no-wait")
    refused = kod("config", *options, code=code)
    assert said in refused.err
    assert refused.err.count("\n") == 1
    assert bench.states() == {"shows": "running"}


def test_list_is_a_table_and_says_what_is_on_probation_and_how_it_ended(
    bench: SimulatedDevice, kod: Kod, app: App
) -> None:
    empty = kod("list")
    assert (empty.out, empty.err[:13]) == ("", "no apps on 'b")
    kod("install", "longer-name", app("shows", SHOWS))
    kod("install", "longer-name", app("shows", SHOWS + "print(2)\n"), "--no-wait")
    kod("install", "bad", app("bad", "import sys\nsys.exit(7)\n"), "--restart", "never", code=1)
    head, bad, longer = kod("list").out.splitlines()
    assert head.split() == ["NAME", "STATE", "UPTIME", "RESTARTS", "SIZE", "IMAGE"]
    assert re.fullmatch(r"bad          failed, code 7 +0 +\d+ B  [0-9a-f]{12}", bad)
    assert re.fullmatch(r"longer-name  on probation +\S.* +0 +\d+ B  [0-9a-f]{12}", longer)
    columns = [head.index(word) for word in ("NAME", "STATE", "UPTIME", "IMAGE")]
    for row in (bad, longer):
        assert all(row[at - 1 : at] in ("", " ") for at in columns)


def test_info_says_versions_sizes_services_and_the_free_flash(
    bench: SimulatedDevice, kod: Kod, app: App
) -> None:
    kod("install", "thermo", app("thermo", SERVICE + SHOWS))
    text = kod("info", "thermo").out
    assert re.search(
        r"^image +[0-9a-f]{12}, \d+ B on flash, by kod 0\.1\.0, \.mpy 6\.3$", text, re.M
    )
    assert re.search(r"^services +thermo$", text, re.M)
    assert "settings" not in text
    record = kod("info", "thermo", "--json").json()
    assert (record["services"], record["mpy"], record["kodkod"]) == (["thermo"], [6, 3], "0.1.0")
    device = kod("info").out
    assert re.search(r"^versions +Kodkod 0\.1\.0, MicroPython \S+, \.mpy 6\.3$", device, re.M)
    assert re.search(r"^free flash +[\d.]+ [KM]B$", device, re.M)


def test_info_shows_the_last_traceback(bench: SimulatedDevice, kod: Kod, app: App) -> None:
    kod("install", "bad", app("bad", "def main():\n    1 / 0\n"), "--restart", "never", code=1)
    text = kod("info", "bad").out
    assert re.search(r"^last end +failed, code 1$", text, re.M)
    assert text.endswith('File "bad.py", line 2, in main\nZeroDivisionError: divide by zero\n')


SENDS_AN_OBJECT = """
import sys
from kodkod import message
try:
    message.copy({"a": object()})
except Exception as exc:
    sys.print_exception(exc)
    raise
"""


def test_tracebacks_read_as_the_librarys_sources_do(
    bench: SimulatedDevice, kod: Kod, app: App
) -> None:
    sends = app("sends", SENDS_AN_OBJECT)
    frame = 'File "kodkod", line 1, in _walk'
    assert b"_walk" not in (bench.folder / "lib" / "kodkod" / "message.mpy").read_bytes()
    assert frame in kod("install", "sends", sends, "--restart", "never", code=1).err
    assert frame in kod("info", "sends").out
    assert frame in kod("info", "sends", "--json").json()["traceback"]
    assert kod("logs", "sends").out.count(frame) == 2
    assert frame in kod("run", sends, code=1).out
    here = bench.started_kod("run", "-d", "host", sends, code=1)
    assert frame in here.out + here.err


def test_restart_starts_a_new_instance_of_the_same_image(
    bench: SimulatedDevice, kod: Kod, app: App
) -> None:
    kod("install", "shows", app("shows", SHOWS))
    before = kod("info", "shows", "--json").json()
    assert kod("restart", "shows", "--json").json() == {
        "done": "restarted",
        "names": ["shows"],
    }
    after = kod("info", "shows", "--json").json()
    assert after["gid"] != before["gid"]
    assert (after["id"], after["state"], after["restarts"]) == (before["id"], "running", 0)


def test_what_kod_run_writes_goes_with_it_and_its_timeout_holds(
    bench: SimulatedDevice, kod: Kod, app: App
) -> None:
    text = "import asyncio\nwith open('notes', 'w') as file:\n    file.write('x')\n"
    ran = kod("run", app("writes", text + "print(open('notes').read())\n"))
    assert ran.out == "x\n"
    stopped = kod("run", app("waits", text + SHOWS), "--timeout", "50ms")
    assert "its timeout has passed" in stopped.out
    assert not list((bench.folder / "data").iterdir())
    assert images(bench) == []


def test_a_detached_run_touches_no_installed_app_and_is_gone_after_a_restart(
    bench: SimulatedDevice, kod: Kod, app: App
) -> None:
    kod("install", "shows", app("shows", SHOWS))
    before = kod("info", "shows", "--json").json()
    said = kod("run", app("waits", SHOWS), "--detach").err
    assert "waits.py runs on 'bench' until the device restarts" in said
    both = {one["name"]: one["state"] for one in kod("list", "--json").json()}
    assert list(both.values()) == ["running", "running"]
    assert kod("info", "shows", "--json").json()["gid"] == before["gid"]
    kod("reset")
    until(lambda: bench.states() == {"shows": "running"})
    assert images(bench) == [before["id"][:12]]


def test_uninstall_takes_the_data_along_unless_it_is_to_be_kept(
    bench: SimulatedDevice, kod: Kod, app: App
) -> None:
    notes = bench.folder / "data" / "notes"
    program = app("notes", "with open('mine', 'a') as file:\n    file.write('x')\n")
    for written in ("x", "xx"):
        kod("install", "notes", program, "--no-wait")
        until(lambda: kod("list", "--json").json()[0]["state"] == "ended")
        assert (notes / "mine").read_text() == written
        kod("uninstall", "notes", "--keep-data")
        assert kod("list", "--json").json() == []
    kod("install", "notes", program, "--no-wait")
    kod("uninstall", "notes")
    assert not notes.exists()


def test_an_app_that_brings_the_device_down_at_each_boot_gives_safe_mode_that_names_it(
    bench: SimulatedDevice, kod: Kod, app: App
) -> None:
    crash = "import os\nos.system('kill -USR2 $PPID')\nwhile True: pass\n"  # a reset, at once
    bench.kod("install", "crash", app("crash", crash), "--no-wait", "--limit", "1m", code=None)
    why = "3 boots in a row did not last 30 s, the last while starting 'crash'"

    def safe_mode() -> object:
        told = bench.kod("info", "--json", code=None)
        return told.code == 0 and told.json()["safe_mode"]

    assert until(safe_mode) == why
    assert f"safe mode, no app is started: {why}" in kod("logs").out
    assert bench.states() == {"crash": "stopped"}
    kod("uninstall", "crash")
    kod("reset")
    until(lambda: bench.kod("info", "--json", code=None).code == 0)
    assert kod("info", "--json").json()["safe_mode"] is None
    assert kod("run", app("fine", "print('fine')\n")).out == "fine\n"


def test_an_app_that_asks_for_a_restart_at_each_start_gives_safe_mode(
    bench: SimulatedDevice, kod: Kod, app: App
) -> None:
    asks = (
        "from kodkod import connect\n"
        "async def main():\n"
        "    async with connect('kodkod/device') as device:\n"
        "        await device.reset()\n"
    )
    bench.kod("install", "again", app("again", asks), "--no-wait", code=None)

    def safe_mode() -> object:
        told = bench.kod("info", "--json", code=None)
        return told.code == 0 and told.json()["safe_mode"]

    assert until(safe_mode) == "3 boots in a row did not last 30 s"
    kod("uninstall", "again")
    kod("reset")  # a person's counts for no boot that failed
    until(lambda: bench.kod("info", "--json", code=None).code == 0)
    assert kod("info", "--json").json()["safe_mode"] is None


@pytest.mark.parametrize(("asks", "state"), [("restart", "running"), ("stop", "stopped")])
def test_an_app_may_ask_for_its_own_restart_or_stop(
    bench: SimulatedDevice, kod: Kod, app: App, asks: str, state: str
) -> None:
    program = (
        "import asyncio, os\n"
        "from kodkod import connect\n"
        "async def main():\n"
        "    if 'asked' not in os.listdir():\n"
        "        open('asked', 'w').close()\n"
        "        async with connect('kodkod/apps') as apps:\n"
        f"            await apps.{asks}('itself')\n"
        "    print('once more')\n"
        "    await asyncio.sleep(1000)\n"
    )
    kod("install", "itself", app("itself", program), "--no-wait")
    until(lambda: bench.states() == {"itself": state}, what=f"it is not {state}")
    if asks == "restart":
        until(lambda: "once more" in kod("logs", "itself").out)
    else:
        assert kod("logs", "itself").out == ""
        kod("reset")
        until(lambda: bench.kod("info", "--json", code=None).code == 0)
        assert bench.states() == {"itself": state}
    kod("uninstall", "itself")


def test_an_install_that_is_killed_at_any_moment_leaves_the_old_version_and_nothing_else(
    bench: SimulatedDevice, kod: Kod, app: App, tmp_path: Path
) -> None:
    kod("install", "clock", app("shows", SHOWS))
    old = kod("info", "clock", "--json").json()
    assets = tmp_path / "assets"
    assets.mkdir()
    seen = set()
    for n in range(4):
        (assets / "noise").write_bytes(os.urandom(400_000))
        with bench.popen(
            "install", "clock", str(tmp_path / "shows.py"), "--assets", str(assets)
        ) as client:
            # From before it connects to amid the image.
            until(lambda n=n: n == 0 or any(one[0] == "~" for one in images(bench)))
            time.sleep(0.005 * n)
            client.kill()
            client.communicate()
        until(lambda: not any(one[0] == "~" for one in images(bench)))
        record = kod("info", "clock", "--json").json()
        seen.add((record["id"], record["gid"], record["state"]))
    assert seen == {(old["id"], old["gid"], "running")}
    assert images(bench) == [old["id"][:12]]
    kod("install", "clock", tmp_path / "shows.py", "--assets", assets, "--no-wait")


def test_two_installs_of_one_name_at_once_end_with_one_of_them_whole(
    bench: SimulatedDevice, kod: Kod, app: App
) -> None:
    programs = [app(f"shows{n}", f"{SHOWS}\nprint({n})\n") for n in range(3)]
    commands = [bench.popen("install", "clock", str(one), "--no-probation") for one in programs]
    ended = [command.communicate(timeout=60) for command in commands]
    assert [command.returncode for command in commands] == [0, 0, 0], ended
    record = kod("info", "clock", "--json").json()
    assert record["state"] == "running"
    assert images(bench) == [record["id"][:12]]
    image = kod("build", programs[0], "--json").json()
    assert read_image(Path(image["path"]).read_bytes()).id == image["id"]


def test_installs_in_a_row_of_changing_images_grow_neither_flash_nor_heap(
    bench: SimulatedDevice, kod: Kod
) -> None:
    rounds = 1000 if os.environ.get("KODKOD_DEEP") == "1" else 40
    warm = 20  # until each part of the kernel has once taken what it keeps

    def used() -> int:
        parts = [bench.folder / part for part in ("apps", "catalog", "data")]
        return sum(path.stat().st_size for part in parts for path in part.rglob("*"))

    with bench.connect() as device:
        began = [0, 0]
        for n in range(warm + rounds):
            text = (
                f"import asyncio\nN = {n % 2 * 1000 + 1000}\nasyncio.run(asyncio.Event().wait())\n"
            )
            image = make_image("main", {"main.py": text.encode()}, mpy=None)
            device.install("clock", image, {"probation_ms": 0, "defines": {"n": n}}, wait=False)
            if n == warm:
                began = [used(), device.about()["free_ram"]]
        grown = [used() - began[0], began[1] - device.about()["free_ram"]]
    print(f"{rounds} installs: {grown[0]} B more of flash, {grown[1]} B more of heap")
    assert abs(grown[0]) < 16
    assert grown[1] < 2048
    assert len(images(bench)) == 1


def test_installs_in_a_row_keep_none_of_the_code_that_they_needed(
    bench: SimulatedDevice, kod: Kod, app: App
) -> None:
    # Each by a connection of its own and on probation, within the time that an image is held.
    free = []
    for n in range(8):
        kod("install", "clock", app("clock", f"VERSION = {n}\n{SHOWS}"), "--no-wait")
        with bench.connect() as device:
            free.append(device.about()["free_ram"])
    print(f"free after each install: {free}")
    assert free[3] - free[-1] < 4096  # the code of one connection is 7 KB
