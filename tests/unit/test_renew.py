# A new library takes the place of the one before: wherever that is cut off, the next start finds
# a whole library, and ends what was begun. What chooses is the head of the real firmware/main.py.
# timeout: 60

import os
import sys

import harness
from kernel_lab import kernel_test, log
from kodkod import port
from storage_parts import Calls, Chip, Killed, mount

ROOT = "/flash"
BEFORE = port.ROOT
port.ROOT = ROOT
from kodkod.system import renew  # noqa: E402

port.ROOT = BEFORE
OLD, NEW = "the one before", "the new one"
FILES = ("kodkod/__init__.py", "kodkod/apps/app.py", "kodkod/only {}.py")
HERE = __file__.rsplit("/", 1)[0] if "/" in __file__ else "."
with open(HERE + "/../../firmware/main.py") as _file:
    CHOOSE = _file.read().split("try:\n    from kodkod")[0]


def write(path, text):
    at = path.find("/", 1)
    while at > 0:
        try:
            os.mkdir(path[:at])
        except OSError:
            pass
        at = path.find("/", at + 1)
    with open(path, "w") as file:
        file.write(text)


def lay(folder, text):
    for name in FILES:
        write(folder + "/" + name.format(text), text)


def read(folder):
    """What all files of the library in `folder` say, None when it is not whole."""
    said = set()
    for text in (OLD, NEW):
        for name in FILES:
            try:
                with open(folder + "/" + name.format(text)) as file:
                    said.add(file.read())
            except OSError:
                said.add("" if "{}" not in name else text + " is not there")
    for text, other in ((OLD, NEW), (NEW, OLD)):
        if said == {text, other + " is not there"}:
            return text
    return None


def fresh(mark):
    mount(Chip(128, 512), ROOT)
    lay(ROOT + "/lib", OLD)
    lay(ROOT + "/lib.new", NEW)
    write(ROOT + "/main.py", OLD)
    write(ROOT + "/lib.new/main.py", NEW)
    write(ROOT + "/lib.new/" + mark, "")
    sys.path[:] = [path for path in sys.path if not path.startswith(ROOT)]


def next_start():
    """As firmware/main.py does it; returns which library it finds."""
    sys.path[:] = [path for path in sys.path if not path.startswith(ROOT)]
    before = os.getcwd()
    os.chdir(ROOT)
    try:
        exec(CHOOSE, {})
    finally:
        os.chdir(before)
    for folder in [path for path in sys.path if path.startswith(ROOT)] + [ROOT + "/lib"]:
        if "kodkod" in renew.flash.entries(folder):
            return read(folder)


def done(text):
    assert read(ROOT + "/lib") == text
    assert not renew.flash.exists(ROOT + "/lib.new")
    with open(ROOT + "/main.py") as file:
        assert file.read() == text


def end():
    os.umount(ROOT)
    sys.path[:] = [path for path in sys.path if not path.startswith(ROOT)]


@kernel_test
async def test_one_start_is_the_trial_and_a_host_makes_it_stay(kernel):
    fresh("trial")
    assert next_start() == NEW
    assert renew.confirm()
    assert not renew.confirm()  # there is none any more
    done(NEW)
    assert next_start() == NEW
    end()


@kernel_test
async def test_without_a_host_the_next_start_is_with_the_library_before(kernel):
    fresh("trial")
    assert next_start() == NEW
    assert next_start() == OLD
    await renew.after_boot(kernel)
    done(OLD)
    assert "the new library did not prove itself" in log("kodkod")
    end()


@kernel_test
async def test_wherever_the_switch_is_cut_off_a_whole_library_is_found_and_the_switch_ends(kernel):
    cuts = 0
    while True:
        fresh("trial")
        assert next_start() == NEW
        with Calls(cuts) as calls:
            try:
                renew.confirm()
            except Killed:
                pass
        if calls.hit is None:
            done(NEW)
            end()
            break
        found = next_start()
        assert found, (cuts, calls.hit)
        await settled(kernel, found, cuts)
        end()
        cuts += 1
    assert cuts > 20


async def settled(kernel, found, cuts):
    if not renew.flash.exists(ROOT + "/lib.new"):
        done(found)
        return
    again = 0
    while harness.deep:  # cut off again
        with Calls(again) as calls:
            try:
                await renew.after_boot(kernel)
            except Killed:
                pass
        if calls.hit is None:
            break
        assert next_start() == found, (cuts, again, calls.hit)
        if not renew.flash.exists(ROOT + "/lib.new"):
            break
        again += 1
    else:
        await renew.after_boot(kernel)
    done(found)


@kernel_test
async def test_what_a_lost_link_left_is_cleared_and_never_started(kernel):
    fresh("half")
    assert next_start() == OLD
    await renew.after_boot(kernel)
    done(OLD)
    end()
