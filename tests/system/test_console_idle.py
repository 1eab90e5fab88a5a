"""What the console needs for input is loaded with the first byte, and let go after a while."""

from __future__ import annotations

import subprocess
from pathlib import Path

from kod import micropython
from kod.link_console import harmless, opening

LIBRARY = Path(__file__).parents[2] / "lib"
PROGRAM = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
from kodkod.apps import begin, logs
from kodkod.link import console as module

module.REST_MS = 200
kernel = begin.start()
console = module.Console(kernel, {})
load = console.load

def hungry(name):
    raise MemoryError("not a byte is left, says the test")

def failures():
    return len([line for line in logs.lines if "not a byte is left" in line[4]])

async def until(condition, text):
    while not condition():
        await asyncio.sleep_ms(10)
    sys.stderr.write(text + "\\n")

async def look():
    await until(lambda: not console.keys, "idle")
    await until(lambda: console.keys, "loaded")
    await until(lambda: not console.keys, "let go")
    console.load = hungry
    await until(lambda: True, "hungry")
    await until(failures, "said")
    console.load = load
    await until(lambda: True, "fed")
    await until(lambda: console.keys, "loaded, failures: {}".format(failures()))
    kernel.ending = 0

kernel.task(kernel.system, console.serve())
kernel.task(kernel.system, look())
kernel.run()
"""


def test_what_input_needs_is_loaded_with_the_first_byte_and_let_go_after_a_while(
    tmp_path: Path,
) -> None:
    script = tmp_path / "idle.py"
    script.write_text(PROGRAM)
    with subprocess.Popen(
        [*micropython.command(), script, LIBRARY],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as device:
        assert device.stdin
        assert device.stderr
        typed = {"idle": "\r", "hungry": "xxxx", "fed": "\r"}
        said = []
        for line in device.stderr:
            said.append(line.strip())
            device.stdin.write(typed.get(said[-1], ""))
            device.stdin.flush()
        assert device.wait(30) == 0, said
    assert said[:6] == ["idle", "loaded", "let go", "hungry", "said", "fed"]
    assert said[6:] == ["loaded, failures: 1"]


ENDING = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
from kodkod.apps import begin
from kodkod.link import console as module

kernel = begin.start()
console = module.Console(kernel, {})

async def look():
    while not console.cable:
        await asyncio.sleep_ms(10)
    sys.stderr.write("a cable\\n")
    while console.cable or [app for app in kernel.apps if app.name == "host:console"]:
        await asyncio.sleep_ms(10)
    sys.stderr.write("none\\n")
    kernel.ending = 0

kernel.task(kernel.system, console.serve())
kernel.task(kernel.system, look())
kernel.run()
"""


def test_a_console_that_ends_ends_its_session(tmp_path: Path) -> None:
    script = tmp_path / "ending.py"
    script.write_text(ENDING)
    with subprocess.Popen(
        [*micropython.command(), script, LIBRARY],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as device:
        assert device.stdin
        assert device.stderr
        device.stdin.write(opening(harmless()))
        device.stdin.flush()
        assert device.stderr.readline() == b"a cable\n"
        device.stdin.close()
        assert device.stderr.readline() == b"none\n"
        assert device.wait(10) == 0
