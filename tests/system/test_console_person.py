"""A person at the prompt of a running device."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from console_lab import DEEP, Person, Talk, talking
from simulated_device import until

BANNER = r"MicroPython [^\r]* with Kodkod\r\nType \"help\(\)\" for more information.\r\n>>> $"


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talk]:
    with talking(tmp_path_factory.mktemp("person")) as talk:
        yield talk


@pytest.fixture
def person(talk: Talk) -> Iterator[Person]:
    with Person(talk.port) as person, talk.going_on():
        person.types("\x03")
        yield person
        person.types("\x03\x04", BANNER)


def test_a_statement_is_run_and_its_value_shown(person: Person) -> None:
    assert person.types("1 + 2\r").endswith("1 + 2\r\n3\r\n>>> ")
    person.types("x = 7\r")
    assert person.types("x * x\r").endswith("\r\n49\r\n>>> ")
    assert "NameError: name 'nope'" in person.types("nope\r")
    assert "kodkod" not in person.seen
    assert person.types("\r") == "\r\n>>> "


def test_a_block_goes_on_until_an_empty_line(person: Person) -> None:
    assert person.types("for n in range(2):\r", r"\.\.\. {5}$")
    person.types("print('n', n)\r", r"\.\.\. {5}$")
    assert person.types("\r").endswith("n 0\r\nn 1\r\n>>> ")
    person.types("(1 +\r", r"\.\.\. $")
    assert person.types("2)\r").endswith("\r\n3\r\n>>> ")
    person.types("'''a\r", r"\.\.\. $")
    assert person.types("b'''\r").endswith("'a\\nb'\r\n>>> ")
    person.types("def f():\r", r"\.\.\. {5}$")
    person.types("return 5\r", r"\.\.\. {5}$")
    person.types("\x7f\r")
    assert person.types("f()\r").endswith("\r\n5\r\n>>> ")


def test_tab_completes_names_and_attributes(person: Person) -> None:
    person.types("import os\r")
    assert person.types("os.listd\t", r"os\.listdir$")
    person.types("\x03")
    person.types("apple_pie = apple_tart = 1\r")
    person.types("app\t", r"apple_$")
    assert person.types("\t", r"\r\n>>> apple_$").count("apple_tart") == 1
    assert person.types("p\t", r"apple_pie$|ie$")
    assert person.types("\r").endswith("\r\n1\r\n>>> ")
    assert person.types("ran\t", r"ge$")
    person.types("\x03")
    person.types("nothing_like_this.x\t", r"x$")
    person.types("\x03")


def test_a_line_can_be_edited_and_called_back(person: Person) -> None:
    person.types("12\x1b[D3\x01+4\x05\x1b[D\x1b[D\x7f\r")  # 132 -> +4132 -> +432
    assert person.seen.rstrip("\r\n> ").endswith("432")
    person.types("'one'\r")
    person.types("'two'\r")
    assert "'one'" in person.types("\x1b[A\x1b[A\r")
    assert person.seen.endswith("'one'\r\n>>> ")
    person.types("print('grünü\x7f\x7fn')\r")
    assert person.seen.endswith("\r\ngrün\r\n>>> ")


def test_ctrl_c_clears_the_line_and_interrupts_what_runs(person: Person) -> None:
    assert person.types("half a li\x03").endswith("half a li\r\n>>> ")
    person.types("while True: pass\r", r"\.\.\. $")
    person.types("\r", r"\r\n$")
    time.sleep(0.2)
    assert "KeyboardInterrupt" in person.types("\x03")
    person.types("import time\r")
    person.types("time.sleep(60)\r", r"\r\n$")
    time.sleep(0.2)
    assert "KeyboardInterrupt" in person.types("\x03")
    person.types("try: time.sleep(60)\r", r"\.\.\. $")
    person.types("except KeyboardInterrupt: print(['caught'])\r", r"\.\.\. $")
    person.types("\r", r"\r\n$")
    time.sleep(0.2)
    assert "['caught']" in person.types("\x03")


def test_ctrl_c_cancels_what_asyncio_run_waits_for(person: Person, talk: Talk) -> None:
    person.types("import asyncio\r")
    person.types("asyncio.run(asyncio.Event().wait())\r", r"\r\n$")
    with talk.going_on():
        time.sleep(0.3)
    assert "KeyboardInterrupt" in person.types("\x03")


def test_ctrl_c_interrupts_a_step_of_asyncio_run_that_never_pauses(
    person: Person, talk: Talk
) -> None:
    before = talk.posts()
    person.types("import asyncio, time\r")
    for busy in ("while True: pass", "time.sleep(60)"):
        person.types("async def main():\r", r"\.\.\. {5}$")
        person.types(busy + "\r", r"\.\.\. +$")
        person.types("\r")
        person.types("asyncio.run(main())\r", r"\r\n$")
        assert "KeyboardInterrupt" in person.types("\x03")
        assert person.types("6 * 7\r").endswith("\r\n42\r\n>>> ")
    until(lambda: talk.posts()["ann"] > before["ann"])


def test_ctrl_d_resets_the_namespace(person: Person) -> None:
    person.types("kept = 1\r")
    assert "MPY: soft reboot" in person.types("\x04", BANNER)
    assert "NameError" in person.types("kept\r")


def test_paste_mode_takes_a_program_as_it_is(person: Person) -> None:
    assert "paste mode; Ctrl-C to cancel, Ctrl-D to finish" in person.types("\x05", r"=== $")
    person.types(
        "for n in range(2):\r    if n:\r        print('got', n)\r\rprint('end')", "end'\\)$"
    )
    assert person.types("\x04").endswith("got 1\r\nend\r\n>>> ")
    person.types("\x05", r"=== $")
    person.types("print('never')\r", r"=== $")
    assert "never\r\n>" not in person.types("\x03")


def test_lines_of_apps_leave_the_typed_line_as_it_was(
    person: Person, talk: Talk, tmp_path: Path
) -> None:
    (tmp_path / "say.py").write_text("print('hello from an app')\n")
    person.types("4 *", r"4 \*$")
    with talk.link.run(tmp_path / "say.py") as run:
        run.wait()
    person.sees(r"\r\x1b\[K\[run-\d+\] hello from an app\r\n>>> 4 \*$")
    assert person.types(" 5\r").endswith("\r\n20\r\n>>> ")


def test_what_apps_print_while_code_runs_is_shown_after(
    person: Person, talk: Talk, tmp_path: Path
) -> None:
    (tmp_path / "say.py").write_text("print('hello again')\n")
    person.types("import asyncio\r")
    person.types("asyncio.run(asyncio.Event().wait())\r", r"\r\n$")
    with talk.link.run(tmp_path / "say.py") as run:
        run.wait()
    person.sees(r"\[run-\d+\] hello again\r\n")
    person.types("\x03")


def test_lines_that_found_no_room_while_a_tool_used_the_line_are_counted(
    talk: Talk, tmp_path: Path
) -> None:
    (tmp_path / "flood.py").write_text("for n in range(600): print('line', n, '.' * 40)\n")
    with Person(talk.port) as person:
        person.types("\x03\x01", r"raw REPL; CTRL-B to exit\r\n>$")
        talk.link.install("flood", tmp_path / "flood.py")
        until(lambda: talk.link.info("flood")["state"] == "ended")
        shown = person.types("\x02", r"line 599 \.+\r\n>>> $")
        assert "line 0 " not in shown
        assert int(re.findall(r"\((\d+) lines lost\)", shown)[-1]) > 300
    talk.link.uninstall("flood")


@pytest.mark.parametrize("times", [20 if DEEP else 2])
def test_ctrl_d_at_the_prompt_of_mpremote_mounts_its_folder_again(
    talk: Talk, tmp_path: Path, times: int
) -> None:
    (tmp_path / "near.py").write_text("print('near', 6 * 7)\n")
    (tmp_path / "babble.py").write_text(
        "import asyncio\nasync def main():\n    while True:\n"
        "        print('and so on')\n        await asyncio.sleep_ms(10)\n"
    )
    master, slave = os.openpty()
    with talk.link.run(tmp_path / "babble.py"), Person.at(master) as person:
        process = subprocess.Popen(
            [*talk.command, "mount", str(tmp_path), "repl"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        try:
            person.sees(r"Type \"help\(\)\"")  # by then a key is a key there
            for _ in range(times):
                person.types("\x04", r"Remount local directory [^\r]*\r\n")
                person.types("import near\r", r"near 42\r\n")
            os.write(master, b"\x1d")
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()


def test_a_restart_asked_for_at_the_prompt_is_a_real_one(talk: Talk) -> None:
    before = talk.desk.run_json["device_pid"]
    talk.link.close()
    with Person(talk.port) as person:
        person.types("\x03")
        person.types("import machine\r")
        person.types("machine.soft_reset()\r", r"\r\n")
        until(lambda: talk.desk.run_json["device_pid"] != before)
    until(lambda: talk.desk.states().get("ann") == "running")
    talk.link = talk.desk.connect()


def test_mpremotes_prompt_with_a_folder_that_stays_mounted_over_ctrl_d(
    talk: Talk, tmp_path: Path
) -> None:
    (tmp_path / "near.py").write_text("WHAT = 'before'\n")
    (tmp_path / "slow.py").write_text(
        "import asyncio\n"
        "async def main():\n"
        "    try:\n"
        "        await asyncio.sleep(60)\n"
        "    finally:\n"
        "        await asyncio.sleep_ms(400)\n"
        "task = asyncio.create_task(main())\n"
    )
    master, slave = os.openpty()
    command = [*talk.command, "mount", str(tmp_path), "repl"]
    mpremote = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    with talk.going_on(), Person.at(master) as person:
        try:
            person.sees(BANNER)
            assert person.types("import near, slow; near.WHAT\r").endswith("'before'\r\n>>> ")
            (tmp_path / "near.py").write_text("WHAT = 'after'\n")
            # The reset takes a while, and mpremote waits 0.1 s for it to begin.
            person.types("\x04", r"soft reboot[^>]*>>> \r\nRemount local directory .*\r\n>>> $")
            assert person.types("import near; near.WHAT\r").endswith("'after'\r\n>>> ")
            person.sends(b"\x1d")
            assert mpremote.wait(10) == 0
        finally:
            mpremote.kill()
            mpremote.wait()
    assert talk.mpremote("exec", "import os; print(os.getcwd())") == "/\n"


@pytest.mark.parametrize("where", ["plainly", "in asyncio.run"])
def test_typed_code_reads_what_is_typed(talk: Talk, where: str) -> None:
    with Person(talk.port) as person:
        person.types("\x03")
        person.types("import asyncio, sys\r")
        for call in ("input()", "sys.stdin.readline()", "sys.stdin.buffer.read(3)"):
            person.types(f"def ask(): return {call}\r", r"\.\.\. +$")
            person.types("\r")
            person.types("async def main(): return ask()\r", r"\.\.\. +$")
            person.types("\r")
            run = "ask()\r" if where == "plainly" else "asyncio.run(main())\r"
            person.types(run, r"\)\r\n$")
            time.sleep(0.3)  # longer than a step has before it is looked at
            assert "abc" in person.types("abc\r", r"'.*\r\n>>> ")
            person.types("\r")
            person.types(run, r"\)\r\n$")
            assert "KeyboardInterrupt" in person.types("\x03")
        person.types("\x04", BANNER)


def test_input_asks_the_person(talk: Talk) -> None:
    with Person(talk.port) as person:
        person.types("\x03")
        person.types("name = input('who? ')\r", r"who\? $")
        person.types("somebody\r")
        assert person.types("name\r").endswith("\r\n'somebody'\r\n>>> ")
        person.types("\x04", BANNER)


# The last one here: the device keeps that limit.
def test_typed_code_has_a_limit_of_its_own(talk: Talk, tmp_path_factory) -> None:
    settings = talk.desk.folder / "kodkod.json"
    text = settings.read_text()
    settings.write_text(text.replace("{", '{"console_limit_ms": 300,', 1))
    talk.link.close()
    talk.desk.kod("reset")
    until(lambda: talk.desk.states().get("ann") == "running")
    talk.link = talk.desk.connect()
    until(lambda: len(talk.posts()) == 2)
    with Person(talk.port) as person, talk.going_on():
        person.types("\x03")
        person.types("while True: pass\r", r"\.\.\. $")
        assert "it took more than 300 ms" in person.types("\r")
        assert person.types("6 * 7\r").endswith("\r\n42\r\n>>> ")
