"""mpremote is killed in the middle of whatever it does: the next one, and kod, find a console."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from console_lab import DEEP, Person, Talk, talking
from kod import Device, choose, link_console
from kod.config import Known
from kodkod.link.frames import frame
from simulated_device import until


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talk]:
    with talking(tmp_path_factory.mktemp("killed"), "--heap", "400k") as talk:
        yield talk


@pytest.fixture(autouse=True)
def _apps_go_on(talk: Talk) -> Iterator[None]:
    with talk.going_on():
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What is mounted, copied and run."""
    (tmp_path / "big").write_bytes(random.Random(3).randbytes(60_000))
    (tmp_path / "huge.py").write_text(f"MUCH = {'x' * 60_000!r}\n")
    (tmp_path / "loop.py").write_text("while True:\n    pass\n")
    (tmp_path / "package.json").write_text('{"urls": [["huge.py", "huge.py"]], "version": "1"}')
    (tmp_path / "waits.py").write_text(
        "import asyncio\nprint('waiting')\nasyncio.run(asyncio.Event().wait())\n"
    )
    (tmp_path / "tidies.py").write_text(
        "import asyncio\nasync def main():\n    try:\n        await asyncio.sleep(60)\n"
        "    finally:\n        await asyncio.sleep_ms(400)\nasyncio.run(main())\n"
    )
    (tmp_path / "stays.py").write_text(
        "import asyncio\nasync def main():\n    while True:\n        try:\n"
        "            await asyncio.sleep(60)\n        except asyncio.CancelledError:\n"
        "            pass\nasyncio.run(main())\n"
    )
    (tmp_path / "busy.py").write_text(
        "import asyncio\nasync def main():\n    while True:\n        pass\nasyncio.run(main())\n"
    )
    (tmp_path / "prints.py").write_text("while True:\n    print('x' * 70)\n")
    return tmp_path


def works(talk: Talk) -> None:
    """All that a next mpremote asks for."""
    check = "import os; print(os.getcwd(), 'gone' in globals(), 'remote' in os.listdir('/'))"
    assert talk.mpremote("exec", check) == "/ False False\n"


WORK: dict[str, tuple[str, ...]] = {
    "exec of a loop": ("exec", "gone = 1\nwhile True: pass"),
    "exec that sleeps": ("exec", "gone = 1\nimport time\ntime.sleep(60)"),
    "exec that prints": ("run", "{folder}/prints.py"),
    "run of asyncio.run": ("run", "{folder}/waits.py"),
    "exec that reads a line": ("exec", "gone = 1\nimport sys\nsys.stdin.readline()"),
    "exec that reads three": ("exec", "gone = 1\nimport sys\nsys.stdin.buffer.read(3)"),
    "run of asyncio.run that tidies up": ("run", "{folder}/tidies.py"),
    "run of asyncio.run that is busy": ("run", "{folder}/busy.py"),
    "copy in": ("fs", "cp", "{folder}/big", ":big"),
    "copy out": ("fs", "cp", ":lib/kodkod/apps/scheduler.mpy", "{folder}/back"),
    "mount, idle": ("mount", "{folder}", "exec", "import time; time.sleep(60)"),
    "mount, import": ("mount", "{folder}", "exec", "gone = 1\nimport huge, loop"),
    "mount, read": ("mount", "{folder}", "exec", "while True: open('huge.py').read(999)"),
    "mount, import in asyncio.run": ("mount", "{folder}", "exec", "import waits, huge"),
    "many commands": (*["exec", "gone = 1"] * 500,),
}


if DEEP:
    # It takes the 2 s that it is given, and 2 s more when it is reset.
    WORK["run of asyncio.run that does not end"] = ("run", "{folder}/stays.py")
    for _verb in (
        ("eval", "sum(range(100000))"),
        ("fs", "ls", ":lib/kodkod/apps"),
        ("fs", "cat", ":lib/kodkod/apps/scheduler.mpy"),
        ("fs", "mkdir", ":made", "+", "fs", "rm", "-r", ":made"),
        ("fs", "cp", "-r", "{folder}", ":copied", "+", "fs", "rm", "-r", ":copied"),
        ("fs", "touch", ":touched", "+", "fs", "rm", ":touched"),
        ("fs", "sha256sum", ":lib/kodkod/apps/scheduler.mpy"),
        ("fs", "tree", ":lib"),
        ("df",),
        ("soft-reset",),
        ("mip", "install", "--target", "/mip", "{folder}/package.json"),
    ):
        WORK[" ".join(_verb)] = _verb


@pytest.mark.parametrize("work", WORK)
def test_the_next_one_works(talk: Talk, folder: Path, work: str) -> None:
    dice = random.Random(work)
    for _ in range(8 if DEEP else 1):
        command = [part.format(folder=folder) for part in WORK[work]]
        process = talk.start_mpremote(*command)
        time.sleep(0.12 + dice.random() * 0.25)
        process.kill()
        process.communicate()
        if dice.random() < 0.5:
            time.sleep(dice.random() * 0.3)
        works(talk)


@pytest.mark.parametrize("work", [*WORK] if DEEP else ["exec of a loop", "mount, read"])
def test_kod_comes_next_and_works(talk: Talk, folder: Path, work: str) -> None:
    process = talk.start_mpremote(*[part.format(folder=folder) for part in WORK[work]])
    time.sleep(0.35)
    process.kill()
    process.communicate()
    assert '"hub"' in talk.desk.kod("-d", talk.port, "list", "--json").out
    works(talk)


@pytest.mark.parametrize("verb", [("logs", "-f"), ("install", "big", "{folder}/huge.py")])
def test_kod_is_killed_and_either_comes_next(
    talk: Talk, folder: Path, verb: tuple[str, ...]
) -> None:
    command = [part.format(folder=folder) for part in verb]
    for following in (works, lambda talk: talk.desk.kod("-d", talk.port, "ping")):
        process = talk.desk.popen(*command, "-d", talk.port)
        time.sleep(0.6)
        process.kill()
        process.communicate()
        following(talk)


def test_a_repl_with_a_mounted_folder_is_killed(talk: Talk, folder: Path) -> None:
    master, slave = os.openpty()
    process = subprocess.Popen(
        [*talk.command, "mount", str(folder), "repl"], stdin=slave, stdout=slave, stderr=slave
    )
    try:
        with Person.at(master) as person:
            person.sees(r">>> $")
            person.types("import waits\r", "waiting")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        os.close(slave)
    works(talk)


# What mpremote exec sends, and what of the answer it waits for.
STEPS = (
    (b"\r\x03", r">>> \r\n>>> $"),
    (b"\r\x01", r"raw REPL; CTRL-B to exit\r\n>$"),
    (b"\x04", r"soft reboot\r\nraw REPL; CTRL-B to exit\r\n>$"),
    (b"\x05A\x01", r"R\x01.\x00\x01$"),
    (b"gone = 1\nimport time; time.sleep(60)".ljust(128), r"\x01$"),
    (b"\x04", r"\x04$"),
)


@pytest.mark.parametrize("first", range(len(STEPS)))
@pytest.mark.parametrize("second", range(3) if DEEP else [0])
def test_the_answer_to_one_that_is_gone_is_not_taken_for_another(
    talk: Talk, first: int, second: int
) -> None:
    last = STEPS[first][0]
    more = b"".join(data for data, _ in STEPS[:second])
    with contextlib.ExitStack() as stack:
        with Person(talk.port) as one:
            one.types("\x03\x04", r"soft reboot\r\n[^>]*>>> $")
            for data, answer in STEPS[:first]:
                one.asks(data, answer)
            # A device that is slow: the answer to this comes when the next one is there.
            unread = stack.enter_context(talk.frozen())
            left = unread() + len(last + more)
            one.asks(last)
        with Person(talk.port) as two:
            two.asks(more)
        process = talk.start_mpremote("exec", "print(6 * 7, 'gone' in globals())")
        until(lambda: unread() == left + 4)  # it waits for an answer
    assert process.communicate(timeout=30)[0] == b"42 False\r\n"
    assert process.returncode == 0


def test_ctrl_c_ends_asyncio_run_and_not_the_device(talk: Talk, folder: Path) -> None:
    # Whatever mpremote's file system has set a Ctrl-C to.
    code = "import asyncio, huge\nprint(1)\nasyncio.run(asyncio.Event().wait())"
    late = "import asyncio\nasync def main():\n import huge\n print(1)\n await asyncio.sleep(60)\n"
    before = talk.desk.run_json["device_pid"]
    for program in (code, late + "asyncio.run(main())"):
        process = talk.start_mpremote("mount", folder, "exec", program)
        assert process.stdout
        while process.stdout.readline() != b"1\r\n":
            assert process.poll() is None
        process.kill()
        process.communicate()
        works(talk)
    assert talk.desk.run_json["device_pid"] == before


@pytest.mark.parametrize(
    "noise", [b"\0\x03\xc3", b"\0\xc3\x03kodkod", b"\0~@  kodkod 1", b"\0\0\xff"]
)
def test_noise_of_a_frame_hides_no_mpremote_that_follows_at_once(talk: Talk, noise: bytes) -> None:
    with Person(talk.port) as person:
        person.asks(noise + b"\r\x03\r\x01", r"raw REPL; CTRL-B to exit\r\n>$")
        person.asks(b"\x02", r">>> $")


def test_what_was_sent_before_the_port_was_closed_arrives_before_the_next_opens_it(
    talk: Talk,
) -> None:
    simulator = talk.desk.run_json["pid"]
    os.kill(simulator, signal.SIGSTOP)  # nothing of it is on the line yet
    try:
        with Person(talk.port) as person:
            person.sends(b"\r\x03open('/sent', 'w').close()\r")
    finally:
        os.kill(simulator, signal.SIGCONT)
    until(lambda: (talk.desk.folder / "sent").exists())
    (talk.desk.folder / "sent").unlink()
    works(talk)


def cut_short(talk: Talk, data: bytes) -> None:
    with Person(talk.port) as person:
        person.sends(data)


@pytest.mark.parametrize(
    "sent",
    [
        b"\r\x03\r\x01\x05A\x01print(1",
        b"\r\x03\r\x01print('not ended",
        b"\r\x03\r\x01\x05",
        b"for n in range(3):\r",
        b"\x05pasted line\r",
        b"\x00\x03\x07",
        bytes(range(1, 256)) * 3,
    ],
    ids=["raw paste", "raw line", "ctrl-e", "block", "paste", "frame", "noise"],
)
def test_whatever_state_it_was_left_in(talk: Talk, sent: bytes) -> None:
    cut_short(talk, sent)
    works(talk)
    if DEEP or sent[0] in (0, 1):
        cut_short(talk, sent)
        talk.desk.kod("-d", talk.port, "ping")


SCRAPS = [
    *(b"\r\x03", b"\r\x01", b"\x01", b"\x02", b"\x03", b"\x04", b"\x05", b"\x05A\x01", b"\x00"),
    *(b"\r", b"\n", b"\t", b"\x1b", b"\x1b[A", b"\x15", b"\x80\xff", b"(", b"'''", b"def f("),
    *(b"gone = 1\r", b"import asyncio, sys\r", b"1/0\r", b"raise SystemExit\r"),
    *(b"print('x' * 3000)\r", b"asyncio.create_task(asyncio.sleep(9))\r"),
    b"import micropython; micropython.kbd_intr(-1)\r",
]


@pytest.mark.parametrize("seed", range(100 if DEEP else 3))
def test_whatever_was_said_before(talk: Talk, seed: int) -> None:
    dice = random.Random(seed)
    kinds: list[Callable[[], bytes]] = [
        lambda: dice.choice(SCRAPS),
        lambda: dice.randbytes(dice.randrange(40)),
        lambda: bytes(frame(dice.randbytes(dice.randrange(60)))),
        lambda: link_console.opening(link_console.harmless()),
    ]
    said = [kind() for kind in dice.choices(kinds, [12, 1, 1, 1], k=dice.randrange(1, 14))]
    with Person(talk.port) as person:
        for scrap in said:
            person.asks(scrap)
    if seed % 3 == 0:
        target = choose.Target(Known("", ""), console=talk.port)
        with Device.connect(target) as device:
            device.ping()
    works(talk)


def test_too_long_a_script_is_an_error_and_no_end(talk: Talk, tmp_path: Path) -> None:
    (tmp_path / "long.py").write_text("x = 1  # and so on, and so on, and so on\n" * 3500)
    assert "MemoryError" in talk.mpremote("run", tmp_path / "long.py", code=1)
    works(talk)
