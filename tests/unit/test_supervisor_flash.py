# What is installed against a flash that is full, cut off or lies: the real kernel and supervisor
# on a chip in RAM. Roll-back, stop and trial work when nothing can be written.
# heap: 2m
# timeout: 100

import asyncio
import gc
import os
import re
from binascii import crc32

import harness
import rtc  # noqa: F401
import vfs
from kodkod import message, port
from kodkod.apps import begin, held, logs, starting, startup, supervisor, switch, upkeep
from kodkod.apps.supervisor import Supervisor
from kodkod.borrow import borrow
from kodkod.errors import ImageInvalid, StorageFull
from kodkod.storage import flash
from kodkod.storage.catalog import Catalog
from storage_parts import Chip, clean, digest, image, install, mount, named, remove, upload, whole

# Loaded once and kept: to compile what is borrowed anew each time would take most of the time.
for module in ("storage.clean", "storage.image", "storage.staging", "storage.store"):
    __import__("kodkod." + module)
for module in ("storage.catalog", "apps.imports", "apps.switch", "system.install"):
    __import__("kodkod." + module)

ROOT = "/flash"
port.ROOT = ROOT
supervisor.BACKOFF_MS = 10
upkeep.PERIOD_MS = 20
# Blocks of 4 KB as on an ESP32; small ones make littlefs tidy up more often.
CHIPS = ((64, 4096), (512, 512)) if harness.deep else ((64, 4096),)
DATA = b"what the app wrote\n" * 20
TICKER = """
import asyncio, kodkod
print('{}', sorted(kodkod.defines.items()))
async def main():
    {}
    while True:
        await asyncio.sleep_ms(20)
"""
CRASH = "import asyncio\nasync def main():\n    await asyncio.sleep_ms(5)\n    1/0\n"


def app(text, **more):
    return image({"main.py": text.encode()}, **more)


OLD = app(TICKER.format("old", "pass"))
NEW = app(TICKER.format("new", "kodkod.ready()"))
TRIAL = app(TICKER.format("trial", "pass"))
BAD = app(CRASH)
OTHER = app(TICKER.format("other", "pass"))
NEXT = app(TICKER.format("next", "pass"))


async def install_trial(supervisor, settings):
    """A new version of `clock`, sent and installed."""
    upload(supervisor.store, TRIAL, 500)
    await borrow("kodkod.system.install").install(supervisor, "clock", digest(TRIAL), settings)


class Device:
    """A chip with the app "clock" in its version OLD, and the kernel that runs on it."""

    def __init__(self, prepare=None, blocks=64, size=4096):
        self.chip = Chip(blocks, size)
        mount(self.chip, ROOT)
        if prepare:
            prepare(ROOT)
        else:
            two_apps(ROOT)
        self.cause = "power"

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if ROOT[1:] in os.listdir("/"):
            vfs.umount(ROOT)

    def run(self, body, boot=True):
        """Boots, runs `await body(supervisor)` as the system, and ends."""

        async def main():
            s = kernel.supervisor = Supervisor(kernel)
            try:
                startup.load(s)
                if boot:
                    await startup.start(s)
                await body(s)
            except BaseException as exc:
                self.failure = exc
            await kernel.stop_all()
            kernel.ending = 0

        self.failure = None
        saved, port.reset_cause = port.reset_cause, lambda: self.cause
        kernel = begin.start()
        try:
            kernel.task(kernel.system, main())
            kernel.run()
        finally:
            port.reset_cause = saved
            begin.stop()
            self.lines = list(logs.lines)
            logs.lines.clear()
        if self.failure:
            raise self.failure

    def said(self, name):
        return "\n".join([line[4] for line in self.lines if line[3] == name])


def two_apps(root):
    install(root, "clock", OLD, settings={"defines": {"n": 1}})
    install(root, "other", OTHER)
    for path in ("/data", "/data/clock"):
        os.mkdir(root + path)
    with open(root + "/data/clock/state", "wb") as file:
        file.write(DATA)


async def until(condition):
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep_ms(10)
    raise AssertionError("it did not happen in time")


async def replace(s, data, settings=None):
    """What `kod install clock` does, to its verdict; "" or what condemned the new version."""
    if not s.store.has(digest(data)):
        upload(s.store, data, 500)
    install = borrow("kodkod.system.install").install
    await install(s, "clock", digest(data), settings or {"defines": {"n": 1}})
    return await s.part("trial").judgement(s, s.slot("clock"))


def fill():
    """Fills the flash until not a byte more is taken."""
    os.mkdir(ROOT + "/filler")
    for size in (4096, 512, 64, 1):
        n = 0
        try:
            while True:
                with open(ROOT + "/filler/%d-%d" % (size, n), "wb") as file:
                    file.write(bytes(size))
                n += 1
        except OSError as exc:
            assert exc.errno == 28


class Refusing:
    """Within `with`: the file system takes no more."""

    def __enter__(self):
        self.open, flash.open = flash.open, self._open
        return self

    def _open(self, path, *mode):
        if mode and "w" in mode[0]:
            raise OSError(28)
        return self.open(path, *mode)

    def __exit__(self, *error):
        flash.open = self.open


def test_a_version_that_fails_while_nothing_can_be_written_gives_way_to_the_old_one():
    with Device() as device:

        async def body(s):
            upload(s.store, BAD, 500)
            install = borrow("kodkod.system.install").install
            await install(s, "clock", digest(BAD), {})
            with Refusing():
                fault = await s.part("trial").judgement(s, s.slot("clock"))
            assert "ZeroDivisionError" in fault
            await until(lambda: s.slot("clock").app)
            slot = s.slot("clock")
            assert (slot.record["id"], slot.state) == (digest(OLD), "running")
            assert Catalog(ROOT).get("clock")["id"] == digest(BAD)
            assert whole(s.store, digest(BAD)) and whole(s.store, digest(OLD))

        device.run(body)
        assert "app 'clock': its record is not written: flash is full" in device.said("kodkod")

        async def next_boot(s):  # finds the trial, repeats it, and comes to the same verdict
            await s.part("trial").judgement(s, s.slot("clock"))
            await until(lambda: s.slot("clock").app)
            assert Catalog(ROOT).get("clock")["id"] == digest(OLD)

        device.run(next_boot)
        clean(ROOT)


def test_a_full_chip_rolls_back_and_stops_and_uninstalls():
    with Device() as device:

        async def body(s):
            upload(s.store, BAD, 500)
            install = borrow("kodkod.system.install").install
            await install(s, "clock", digest(BAD), {})
            fill()
            assert await s.part("trial").judgement(s, s.slot("clock"))
            await until(lambda: s.slot("clock").app)
            assert s.slot("clock").record["id"] == digest(OLD)
            for name in ("clock", "other"):
                try:
                    await switch.stop(s, s.slot(name))
                except StorageFull:
                    pass
                assert s.slot(name).app is None and s.slot(name).state == "stopped"
            await s.part("switch").uninstall(s, "clock", False)
            assert Catalog(ROOT).get("clock") is None
            assert os.listdir(ROOT + "/data") == []
            assert s.store.free() > 0

        device.run(body)


def test_a_boot_on_a_flash_that_takes_no_record_starts_every_app():
    with Device() as device:

        async def update(s):
            await install_trial(s, {})

        async def boot(s):
            assert {n: slot.state for n, slot in s.slots.items()} == {
                "clock": "running",
                "other": "running",
            }

        device.run(update)
        with Refusing():
            device.run(boot)
        assert "its record is not written" in device.said("kodkod")


def test_the_defaults_of_an_image_count_where_the_installation_says_nothing():
    defaults = {"restart": "always", "interval_ms": 5000, "probation_ms": 30, "args": ["x"]}
    text = "import kodkod\ndef main(*args):\n    print(args, sorted(kodkod.defines.items()))\n"
    one = app(text, settings=dict(defaults, defines={"pin": 4, "led": 2}))
    with Device() as device:

        async def body(s):
            await replace(s, one, {"defines": {"pin": 5}, "restart": "never"})
            slot = s.slot("clock")
            assert slot.setting("interval_ms") == 5000 and slot.setting("restart") == "never"
            await until(lambda: slot.state == "waiting")
            assert await replace(s, NEW) == ""
            assert slot.setting("interval_ms") is None

        device.run(body)
        assert "('x',) [('led', 2), ('pin', 5)]" in device.said("clock")


def test_a_roll_back_brings_the_old_ones_defaults_back():
    with_default = app(TICKER.format("d", "pass"), settings={"defines": {"pin": 4}, "args": []})
    with Device(lambda root: None) as device:

        async def body(s):
            await replace(s, with_default, {"probation_ms": 0})
            assert "ZeroDivisionError" in await replace(s, BAD)
            await until(lambda: s.slot("clock").app)
            assert s.slot("clock").app.defines == {"pin": 4}
            assert s.slot("clock").record["defaults"]["defines"] == {"pin": 4}

        device.run(body)


def test_an_image_that_lies_about_its_entry_or_settings_is_refused_and_what_runs_goes_on():
    with Device() as device:

        async def body(s):
            running = s.slot("clock").app
            for more, text in (
                ({"entry": "mine"}, "entry 'mine' is not in it"),
                ({"entry": None}, "entry None is not in it"),
                ({"entry": ["main"]}, "is not in it"),
                ({"entry": "../main"}, "is not in it"),
                ({"settings": [1]}, "a dict is needed"),
                ({"settings": {"interval_ms": "5"}}, "is not a number of milliseconds"),
                ({"settings": {"interval_ms": -5}}, "is not a number of milliseconds"),
                ({"settings": {"interval_ms": True}}, "is not a number of milliseconds"),
                ({"settings": {"restart": "often"}}, "is not one of never"),
                ({"settings": {"after": "other"}}, "is of the wrong kind"),
                ({"settings": {"defines": [1]}}, "is of the wrong kind"),
            ):
                bad = app(TICKER.format("lies", "pass"), **more)
                try:
                    await replace(s, bad)
                    raise AssertionError("it was taken: " + str(more))
                except (ImageInvalid, ValueError) as exc:
                    assert text in str(exc), exc
            assert s.slot("clock").app is running and running.is_running
            held.sweep(s)
            clean(ROOT)

        device.run(body)


def run_held_for(ms, device, body):
    """Run `body`, with images that wait for their installation no longer than that."""
    held.HELD_MS, before = ms, held.HELD_MS
    try:
        device.run(body)
    finally:
        held.HELD_MS = before


def test_an_image_that_nobody_names_is_gone_after_a_while():
    with Device() as device:

        async def body(s):
            upload(s.store, NEW, 500)
            id = digest(NEW)
            held.hold(s, id)
            held.sweep(s)
            assert s.store.has(id)
            await until(lambda: not s.store.has(id))
            assert s.held == []
            clean(ROOT)

        run_held_for(30, device, body)


def short_of_memory(function, times):
    """`function`, but the first `times` calls find no memory."""

    def call(*args):
        nonlocal times
        times -= 1
        if times >= 0:
            raise MemoryError("no memory, says the test")
        return function(*args)

    return call


def test_want_of_memory_delays_the_judgement_of_a_new_version_and_loses_it_not():
    with Device() as device:

        async def body(s):
            record = s.slot("clock").record
            await install_trial(s, {"probation_ms": 5000})
            s.part = short_of_memory(s.part, 2)
            s.slot("clock").app.kernel.end(s.slot("clock").app, "failed", 1, "as the test has it")
            await until(lambda: s.slot("clock").record["id"] == record["id"])
            await until(lambda: s.slot("clock").app)

        device.run(body)


def test_want_of_memory_delays_a_start_as_often_as_it_takes_and_is_no_failure():
    prepare = starting.prepare
    with Device() as device:

        async def body(s):
            slot = s.slot("clock")
            starting.prepare = short_of_memory(prepare, 9)
            slot.app.kernel.end(slot.app, "failed", 1, "as the test has it")
            await until(lambda: slot.reason == "memory")
            assert (slot.state, slot.code) == ("waiting", None)
            await until(lambda: slot.app and slot.state == "running")
            assert (slot.restarts, len(slot.failures)) == (1, 1)

        try:
            device.run(body)
        finally:
            starting.prepare = prepare
        assert device.said("clock").count("cannot start yet") == 1


def test_an_app_for_which_there_is_too_little_memory_is_not_begun_and_starts_when_there_is():
    low = upkeep.LOW
    with Device() as device:

        async def body(s):
            slot = s.slot("clock")
            await s.part("switch").stop(s, slot)
            taken = bytearray(200000)
            gc.collect()
            upkeep.LOW = gc.mem_free() + 50000
            try:
                s.part("switch").start(s, slot)
            finally:
                upkeep.LOW = low
            assert slot.app is None and slot.code is None
            assert (slot.state, slot.reason) == ("waiting", "memory")
            assert slot.needed > gc.mem_free()
            needed = slot.needed
            gc.collect()
            upkeep.LOW = gc.mem_free() + 50000
            try:
                for _ in range(5):  # by hand: that makes it no more
                    s.part("switch").start(s, slot)
            finally:
                upkeep.LOW = low
            assert slot.needed - needed < 1024
            assert "clock" not in [app.name for app in s.kernel.apps]
            del taken
            await until(lambda: slot.app and slot.state == "running")
            assert (slot.reason, slot.needed) == (None, 0)

        device.run(body)
        said = device.said("clock")
        assert re.search(r"cannot start yet: \d+ B of memory are free, \d+ are needed", said), said


def test_a_new_version_that_found_no_memory_to_start_is_not_proved():
    low = upkeep.LOW
    with Device() as device:

        async def body(s):
            slot = s.slot("clock")
            old = slot.record["id"]
            upkeep.LOW = gc.mem_free() * 2
            try:
                await install_trial(s, {"probation_ms": 100})
                assert slot.record["id"] != old
                assert "too little memory" in await s.part("trial").judgement(s, slot)
            finally:
                upkeep.LOW = low
            assert slot.record["id"] == old
            slot.needed = 1
            await until(lambda: slot.app and slot.state == "running")

        device.run(body)


def test_one_that_came_again_is_held_as_long_as_if_it_had_not_been_there_before():
    with Device() as device:

        async def body(s):
            upload(s.store, NEW, 500)
            id = digest(NEW)
            held.hold(s, id)
            await asyncio.sleep_ms(20)
            held.release(s, id)  # it was installed, and is uninstalled by now
            held.hold(s, id)
            upload(s.store, TRIAL, 500)
            while s.store.has(digest(TRIAL)):  # until what the first one was held for is over
                await asyncio.sleep_ms(1)
            assert s.store.has(id)
            await until(lambda: not s.store.has(id))
            clean(ROOT)

        run_held_for(200, device, body)


def test_a_stop_during_probation_does_not_keep_it_from_ending():
    with Device() as device:

        async def body(s):
            await install_trial(s, {"probation_ms": 60})
            await switch.stop(s, s.slot("clock"))
            switch.start(s, s.slot("clock"))
            assert await s.part("trial").judgement(s, s.slot("clock")) == ""
            assert Catalog(ROOT).get("clock")["previous"] is None

        device.run(body)


def test_a_roll_back_at_a_boot_starts_no_app_in_safe_mode_and_none_that_was_stopped():
    with Device() as device:

        async def update(s):
            await install_trial(s, {})
            await switch.stop(s, s.slot("clock"))

        async def safe(s):  # as boot does it: the culprit first, and then no boot()
            startup.quarantine(s, "clock")
            assert s.slot("clock").record["id"] == digest(OLD)
            assert s.slot("clock").app is None

        async def stopped(s):
            assert (s.slot("clock").state, s.slot("clock").app) == ("stopped", None)
            assert s.slot("clock").record["id"] == digest(OLD)

        device.run(update)
        device.run(safe, boot=False)
        device.run(stopped)
        device.cause = "watchdog"
        device.run(stopped)


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def test_a_catalog_of_garbage_boots_reports_and_loses_nothing_that_can_be_read():
    newer = message.pack([2, 7, {"id": digest(OLD)}, "more"])
    newer += crc32(newer).to_bytes(4, "little")
    bad = "app 'clock': record is {}; its image is kept; kod uninstall clock removes it"
    for data, text in (
        (b"", bad.format("damaged")),
        (b"\xff" * 4096, bad.format("damaged")),
        (os.urandom(100), bad.format("damaged")),
        (newer, bad.format("from a newer version")),
    ):
        with Device() as device:
            for slot in ("0", "1"):
                write(ROOT + "/catalog/clock." + slot, data)

            async def body(s):
                assert sorted(s.slots) == ["other"] and s.slot("other").app
                await second_install(s)
                await second_install(s)
                assert whole(s.store, digest(OLD)), "its image is for the user to decide"
                with open(ROOT + "/data/clock/state", "rb") as file:
                    assert file.read() == DATA

            async def decided(s):
                await s.part("switch").uninstall(s, "clock", False)
                assert not s.store.has(digest(OLD))

            device.run(body)
            assert text in device.said("kodkod")
            device.run(decided)
            clean(ROOT)


def test_one_damaged_generation_leaves_the_app_running_by_the_other():
    with Device() as device:
        catalog = Catalog(ROOT)
        catalog.put("clock", dict(catalog.get("clock"), state=None, more=1))
        write(catalog.file("clock", catalog.generations("clock")[-1][2]), b"garbage")

        async def body(s):
            assert s.slot("clock").app and s.slot("other").app
            assert await replace(s, NEW) == ""

        device.run(body)
        assert "app 'clock': record is damaged; what it said before" in device.said("kodkod")
        device.run(nothing_more)
        assert "damaged" not in device.said("kodkod")
        clean(ROOT)


async def nothing_more(s):
    pass


def test_an_empty_catalog_and_one_that_cannot_be_listed_boot_and_install():
    with Device() as device:
        remove(ROOT + "/catalog")
        os.mkdir(ROOT + "/catalog")

        async def body(s):
            assert s.slots == {}
            await second_install(s)
            assert s.slot("next").app

        device.run(body)
        clean(ROOT)
    with Device() as device:
        remove(ROOT + "/catalog")
        write(ROOT + "/catalog", b"a file")

        async def nothing_is_lost(s):
            assert s.slots == {}
            held.sweep(s)
            assert whole(s.store, digest(OLD)) and whole(s.store, digest(OTHER))

        device.run(nothing_is_lost)
        assert "reading and repairing the flash" in device.said("kodkod")


def test_what_could_not_be_read_at_the_boot_alone_is_not_cleaned_away():
    with Device() as device:

        class Deaf(Refusing):
            def _open(self, path, *mode):
                if "/catalog/" in path:
                    raise OSError(5)
                return self.open(path, *mode)

        async def later(s):
            assert s.slots == {}
            self.__exit__()
            await second_install(s)
            assert whole(s.store, digest(OLD)) and whole(s.store, digest(OTHER))

        with Deaf() as self:
            device.run(later)


# The power fails at any write of the chip while the device itself works


async def first_install(s):
    await replace(s, OLD)


async def second_install(s):
    upload(s.store, NEXT, 500)
    await borrow("kodkod.system.install").install(s, "next", digest(NEXT), {})


async def replaced(s):
    assert await replace(s, NEW) == ""


async def rolled_back(s):
    assert await replace(s, BAD)


async def settings(s):
    install = borrow("kodkod.system.install").install
    await install(s, "clock", digest(OLD), {"defines": {"n": 2}})


async def uninstalled(s):
    await s.part("switch").uninstall(s, "clock", False)


def nothing(root):
    pass


# name, what was before, what is interrupted, which versions "clock" may have then
CASES = (
    ("first boot and install", nothing, first_install, (None, OLD)),
    ("install", two_apps, second_install, (OLD,)),
    ("replace", two_apps, replaced, (OLD, NEW)),
    ("roll-back", two_apps, rolled_back, (OLD,)),
    ("settings change", two_apps, settings, (OLD,)),
    ("uninstall", two_apps, uninstalled, (OLD, None)),
)


def interrupted(device, operation, left, part):
    """Whether the power failed while the device booted and did it."""
    chip = device.chip
    chip.on()
    chip.left = left
    chip.part = part
    try:
        mount(chip, ROOT)
        device.run(operation)
    except Exception:
        assert chip.dead, "the power was on"
    failed = chip.dead
    if ROOT[1:] in os.listdir("/"):
        vfs.umount(ROOT)
    chip.again()
    return failed


def check(device, case):
    """Each app is there, whole, and has started; its data is as it was; the next install works."""
    name, before, operation, allowed = case

    async def body(s):
        if operation is rolled_back and s.slot("clock").record["probation"]:
            await s.part("trial").judgement(s, s.slot("clock"))
            await until(lambda: s.slot("clock").app)
        slot = s.slots.get("clock")
        id = slot.record["id"] if slot else None
        assert id in [data and digest(data) for data in allowed], id
        assert before is nothing or s.slot("other").record["id"] == digest(OTHER)
        for one in s.slots.values():
            assert one.app and one.state == "running", (one.name, one.state)
            assert whole(s.store, one.record["id"])
        if slot:
            n = slot.app.defines["n"]
            assert n == 1 or (n == 2 and operation is settings)
        if before is not nothing:
            data = ROOT + "/data/clock/state"
            if slot:
                with open(data, "rb") as file:
                    assert file.read() == DATA
            else:
                assert os.listdir(ROOT + "/data") == []
        await second_install(s)
        await asyncio.sleep_ms(0)
        assert s.slot("next").app and whole(s.store, digest(NEXT))

    device.run(body)
    ids = named(ROOT) - {None}
    assert {id[:12] for id in ids} == set(os.listdir(ROOT + "/apps")), "something was left"


def test_a_power_cut_at_any_write_while_the_device_works_loses_no_app():
    total = 0
    for case in CASES:
        for chip in CHIPS:
            with Device(case[1], *chip) as device:
                vfs.umount(ROOT)
                device.chip.keep()
                n = 0
                while interrupted(device, case[2], n // 2, n % 2 / 2):
                    mount(device.chip, ROOT)
                    check(device, case)
                    vfs.umount(ROOT)
                    n += 1
            print(case[0], n, "cuts")
            total += n
    print(total, "power cuts of a device that works")
    assert total > 200
