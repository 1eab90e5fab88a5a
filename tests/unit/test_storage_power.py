# The power fails at every single write of the flash chip and half-way through it, and the
# process dies at every call of the file system. After each: boot, and nothing may be lost.
# timeout: 100

import os

import harness
import vfs
from kodkod.storage import flash
from kodkod.storage.catalog import Catalog
from kodkod.storage.store import Store
from storage_parts import (
    Calls,
    Chip,
    Killed,
    boot,
    clean,
    digest,
    folder,
    install,
    mount,
    put,
    remove,
    sweep,
    upload,
    version,
    whole,
)

# The modules of an upload stay loaded: to compile them anew would take most of the time.
for module in ("clean", "image", "staging"):
    __import__("kodkod.storage." + module)

ROOT = "/flash"
BLOCKS = 64
# Blocks of 4 KB as on an ESP32; small ones make littlefs tidy up more often.
CHIPS = ((BLOCKS, 4096), (512, 512)) if harness.deep else ((BLOCKS, 4096),)
OLD, NEW, OTHER, NEXT = [version(n) for n in range(4)]
MINE = b"what the app wrote\n" * 20


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def two_apps(root):
    """An app of two generations with data, and another one."""
    install(root, "clock", OTHER)
    install(root, "clock", OLD, settings={"n": 1})
    install(root, "other", OTHER)
    for path in ("/data", "/data/clock", "/data/clock/log"):
        os.mkdir(root + path)
    write(root + "/data/clock/log/day", MINE)
    write(root + "/data/clock/state", MINE)


def in_probation(root):
    two_apps(root)
    replace_only(root)


def nothing(root):
    pass


# What a device does to its flash


def first_install(root):
    install(root, "clock", OLD, settings={"n": 1})


def second_install(root):
    install(root, "next", NEXT)


def replace_only(root):
    upload(Store(root), NEW)
    put(root, "clock", digest(NEW), digest(OLD), 1, {"n": 1})


def replace(root):
    replace_only(root)
    put(root, "clock", digest(NEW), None, 0, {"n": 1})
    sweep(root)


def settings_change(root):
    put(root, "clock", digest(OLD), None, 0, {"n": 2, "more": "x" * 300})


def roll_back(root):
    put(root, "clock", digest(OLD), None, 0, {"n": 1})
    sweep(root)


def uninstall(root):
    Catalog(root).remove("clock", False)
    sweep(root)


def uninstall_keeping_data(root):
    Catalog(root).remove("clock")
    sweep(root)


def same_image_again(root):
    install(root, "twin", OLD, settings={"n": 3})
    Catalog(root).remove("twin")
    sweep(root)


# name, what was before, what is interrupted, which ids "clock" may have then, and "other"
CASES = (
    ("first boot and install", nothing, first_install, (None, OLD), (None,)),
    ("install", two_apps, second_install, (OLD,), (OTHER,)),
    ("replace", two_apps, replace, (OLD, NEW), (OTHER,)),
    ("settings change", two_apps, settings_change, (OLD,), (OTHER,)),
    ("roll-back", in_probation, roll_back, (NEW, OLD), (OTHER,)),
    ("uninstall", two_apps, uninstall, (OLD, None), (OTHER,)),
    ("uninstall, data kept", two_apps, uninstall_keeping_data, (OLD, None), (OTHER,)),
    ("install under two names", two_apps, same_image_again, (OLD,), (OTHER,)),
)


def check(root, case):
    """After a boot: everything old or new, whole, nothing else; the next install works."""
    name, _, operation, clock, other = case
    catalog = Catalog(root)
    store = Store(root)
    assert catalog.problems() == {}
    clean(root)
    for app, allowed in (("clock", clock), ("other", other)):
        record = catalog.get(app)
        id = record["id"] if record else None
        assert id in [data and digest(data) for data in allowed], (app, record)
        if record:
            assert whole(store, id)
            if record["previous"]:
                assert record["probation"] and whole(store, record["previous"])
            if app == "clock":
                assert record["settings"] in ({"n": 1}, {"n": 2, "more": "x" * 300})
    data = root + "/data/clock"
    if operation is not first_install:
        kept = flash.exists(data)
        assert kept or (operation is uninstall and not catalog.get("clock"))
        assert operation is not uninstall or kept == bool(catalog.get("clock"))
        if kept:
            assert read(data + "/log/day") == MINE
            assert read(data + "/state") == MINE
            assert sorted(os.listdir(data)) == ["log", "state"]
    id = install(root, "next", NEXT)
    assert Catalog(root).get("next")["id"] == id and whole(store, id)
    clean(root)


def prepared(case, blocks=BLOCKS, size=4096):
    chip = Chip(blocks, size)
    if case[1] is not nothing:
        mount(chip, ROOT)
        case[1](ROOT)
        vfs.umount(ROOT)
    chip.keep()
    chip.on()
    return chip


def interrupted(chip, operation, left, part):
    """Whether the power failed during the operation."""
    chip.left = left
    chip.part = part
    try:
        mount(chip, ROOT)
        operation(ROOT)
    except OSError:
        assert chip.dead
    failed = chip.dead
    if ROOT[1:] in os.listdir("/"):
        vfs.umount(ROOT)
    chip.again()
    return failed


def test_a_power_cut_at_any_write_of_the_chip_loses_nothing():
    total = 0
    for case, chip in [(case, prepared(case, *size)) for case in CASES for size in CHIPS]:
        cuts = 0
        going = True
        while going:
            for part in (0, 0.5):
                chip.on()
                going = interrupted(chip, case[2], cuts, part)
                mount(chip, ROOT)
                boot(ROOT)
                check(ROOT, case)
                vfs.umount(ROOT)
            cuts += 1
        print(case[0], 2 * (cuts - 1), "cuts")
        total += 2 * (cuts - 1)
    print(total, "power cuts in all")
    assert total > 400


def test_a_second_power_cut_during_the_boot_after_one_loses_nothing():
    total = 0
    for case in CASES if harness.deep else (CASES[2], CASES[5]):
        chip = prepared(case)
        cuts = 0
        while True:
            chip.on()
            if not interrupted(chip, case[2], cuts, 0.5):
                break
            chip.keep()
            again = 0
            while True:
                chip.on()
                if not interrupted(chip, boot, again, 0.5):
                    break
                total += 1
                mount(chip, ROOT)
                boot(ROOT)
                check(ROOT, case)
                vfs.umount(ROOT)
                again += 1 if harness.deep else 3
            chip = prepared(case)
            cuts += 1 if harness.deep else 7
    print(total, "second power cuts")
    assert total > 10


def test_a_process_killed_at_any_file_system_call_loses_nothing():
    total = 0
    for case in CASES:
        at = 0
        killed = True
        while killed:
            root = folder()
            try:
                case[1](root)
                with Calls(at) as calls:
                    try:
                        boot(root)
                        case[2](root)
                    except Killed:
                        pass
                killed = calls.hit is not None
                boot(root)
                check(root, case)
            finally:
                remove(root)
            at += 1
        print(case[0], calls.count, "calls")
        total += calls.count
    print(total, "file system calls in all")
    assert total > 300
