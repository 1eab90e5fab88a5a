# Supervision on the real kernel: policies, order, timers, boot, quarantine.
# heap: 2m

import asyncio
import json
import os

import rtc  # noqa: F401
from harness import raises
from kodkod import port
from kodkod.apps import begin, boots, logs, startup, supervisor, switch
from kodkod.apps.supervisor import Supervisor
from kodkod.errors import AppNotFound
from kodkod.storage.catalog import Catalog

ROOT = "/tmp/kodkod-supervisor-{}".format(int.from_bytes(os.urandom(4), "big"))
port.ROOT = ROOT
supervisor.BACKOFF_MS = 10


def remove(path):
    if os.stat(path)[0] & 0x4000:
        for name in os.listdir(path):
            remove(path + "/" + name)
        os.rmdir(path)
    else:
        os.remove(path)


def image_id(number):
    return "{:012x}".format(number) + "0" * 52


class Lab:
    """A flash with apps, and a supervisor on it in a kernel that runs."""

    def __init__(self):
        for path in (ROOT, ROOT + "/apps"):
            os.mkdir(path)
        self.count = 0

    def image(self, source):
        """An image in the store whose program is `source`; its id."""
        self.count += 1
        id = image_id(self.count)
        folder = ROOT + "/apps/" + id[:12]
        os.mkdir(folder)
        with open(folder + "/prog.py", "w") as file:
            file.write(source)
        with open(folder + "/app.json", "w") as file:
            json.dump({"entry": "prog", "files": {}}, file)
        return id

    def installed(self, name, source, **settings):
        record = {"id": self.image(source), "settings": settings, "state": None}
        record.update({"probation": 0, "previous": None, "previous_settings": None})
        Catalog(ROOT).put(name, record)

    def run(self, body, *, boot=True):
        """Run `await body(supervisor)` as the system, on a booted device."""

        async def main():
            self.supervisor = Supervisor(kernel)
            startup.load(self.supervisor)
            if boot:
                await startup.start(self.supervisor)
            try:
                await body(self.supervisor)
            except BaseException as exc:
                self.failure = exc
            await kernel.stop_all()
            kernel.ending = 0

        self.failure = None
        kernel = begin.start()
        try:
            kernel.task(kernel.system, main())
            kernel.run()
        finally:
            begin.stop()
            logs.lines.clear()
        if self.failure:
            raise self.failure


def lab_test(test):
    # For MicroPython: the harness calls what it finds by name, so this returns a function.
    def run():
        lab = Lab()
        try:
            test(lab)
        finally:
            remove(ROOT)

    return run


async def until(condition):
    for _ in range(200):
        if condition():
            return
        await asyncio.sleep_ms(10)
    raise AssertionError("it did not happen in time")


def said(name):
    return "\n".join([line[4] for line in logs.lines if line[3] == name])


TICKER = "import asyncio\nasync def main():\n    while True:\n        await asyncio.sleep_ms(20)\n"
CRASH = "import asyncio\nasync def main():\n    await asyncio.sleep_ms(5)\n    1/0\n"
ENDS = "print('done')\n"


@lab_test
def test_on_failure_is_the_default_and_more_than_five_failures_in_a_minute_end_it(lab):
    lab.installed("bad", CRASH)

    async def body(s):
        slot = s.slot("bad")
        await until(lambda: slot.state == "failed")
        assert slot.restarts == 5
        assert "ZeroDivisionError" in slot.traceback
        assert "app 'bad' stopped: 6 failures in 60 s" in said("kodkod")
        switch.start(s, slot)
        assert slot.state == "running"

    lab.run(body)


@lab_test
def test_a_failed_app_is_started_again_by_a_boot_and_by_an_update(lab):
    lab.installed("bad", CRASH)

    async def fails(s):
        slot = s.slot("bad")
        assert slot.state == "running"
        await until(lambda: slot.state == "failed")

    async def updated(s):
        await fails(s)
        await s.part("switch").install(s, "bad", lab.image(TICKER), {})
        slot = s.slot("bad")
        assert (slot.state, slot.failures, slot.restarts) == ("running", [], 0)

    lab.run(fails)
    lab.run(updated)


@lab_test
def test_an_app_that_ends_with_0_is_not_restarted_on_failure(lab):
    lab.installed("once", ENDS)

    async def body(s):
        slot = s.slot("once")
        await until(lambda: slot.state == "ended")
        await asyncio.sleep_ms(100)
        assert (slot.restarts, slot.code, said("once")) == (0, 0, "done")

    lab.run(body)


@lab_test
def test_never_means_never(lab):
    lab.installed("bad", CRASH, restart="never")

    async def body(s):
        await until(lambda: s.slot("bad").state == "failed")
        await asyncio.sleep_ms(100)
        assert s.slot("bad").restarts == 0

    lab.run(body)


@lab_test
def test_always_restarts_what_ended_with_0(lab):
    lab.installed("again", ENDS, restart="always")

    async def body(s):
        await until(lambda: s.slot("again").restarts >= 2)

    lab.run(body)


@lab_test
def test_back_off_doubles(lab):
    lab.installed("bad", CRASH)

    async def body(s):
        delays = []
        start_in = s._start_in
        s._start_in = lambda slot, delay: (delays.append(delay), start_in(slot, delay))
        await until(lambda: s.slot("bad").state == "failed")
        assert delays[-4:] == [20, 40, 80, 160], delays

    lab.run(body)


@lab_test
def test_an_interval_counts_from_start_to_start_also_after_a_crash(lab):
    lab.installed("often", CRASH, interval_ms=60)  # it crashes after 5 ms

    async def body(s):
        delays = []
        start_in = s._start_in
        s._start_in = lambda slot, delay: (delays.append(delay), start_in(slot, delay))
        await until(lambda: s.slot("often").restarts >= 3)
        assert delays and max(delays) <= 56, delays

    lab.run(body)


@lab_test
def test_a_timeout_stops_it_and_its_interval_goes_on(lab):
    lab.installed("long", TICKER, timeout_ms=30, interval_ms=80)

    async def body(s):
        slot = s.slot("long")
        await until(lambda: slot.state == "waiting")
        assert slot.reason == "stopped"
        assert "its timeout has passed" in said("long")
        await until(lambda: slot.restarts == 1 and slot.app)

    lab.run(body)


@lab_test
def test_a_stop_by_hand_lasts_over_a_boot_until_a_start_by_hand(lab):
    lab.installed("clock", TICKER, restart="always")

    async def stop(s):
        await switch.stop(s, s.slot("clock"))
        await asyncio.sleep_ms(50)
        assert s.slot("clock").state == "stopped"

    async def start(s):
        assert s.slot("clock").state == "stopped"
        switch.start(s, s.slot("clock"))

    async def runs(s):
        assert s.slot("clock").state == "running"

    for body in (stop, start, runs):
        lab.run(body)


@lab_test
def test_apps_start_in_the_order_of_after_whatever_it_says(lab):
    source = "import kodkod\nprint('up')\n"
    lab.installed("a", source, after=["c", "missing"])
    lab.installed("b", source, after=["b"])
    lab.installed("c", source, after=["d"])
    lab.installed("d", source, after=["a"])  # a circle is cut where it closes

    async def body(s):
        order = [line[3] for line in logs.lines if line[4] == "up"]
        assert order == ["d", "c", "a", "b"], order

    lab.run(body)


@lab_test
def test_an_app_that_cannot_start_keeps_no_other_from_starting(lab):
    lab.installed("broken", "x = (\n")
    lab.installed("hollow", TICKER)
    lab.installed("sound", TICKER)
    remove(ROOT + "/apps/" + image_id(2)[:12])

    async def body(s):
        await until(lambda: s.slot("broken").state != "running")
        assert s.slot("hollow").state == "failed"
        assert s.slot("sound").state == "running"
        assert "SyntaxError" in said("broken")

    lab.run(body)


@lab_test
def test_a_quarantined_app_starts_by_hand_alone(lab):
    lab.installed("wild", TICKER)
    lab.installed("tame", TICKER)

    async def caught(s):
        startup.quarantine(s, "wild")
        await startup.start(s)
        assert (s.slot("wild").state, s.slot("tame").state) == ("quarantined", "running")
        assert "app 'wild' is quarantined" in said("kodkod")

    async def stays(s):
        assert s.slot("wild").state == "quarantined"
        switch.start(s, s.slot("wild"))
        assert s.slot("wild").state == "running"

    async def runs(s):
        assert s.slot("wild").state == "running"

    lab.run(caught, boot=False)
    lab.run(stays)
    lab.run(runs)


@lab_test
def test_which_app_is_starting_is_written_down(lab):
    lab.installed(
        "first", "import kodkod\nfrom kodkod.apps import boots\nprint(boots.was_starting())\n"
    )

    async def body(s):
        assert said("first") == "first"
        assert boots.was_starting() == ""

    lab.run(body)


@lab_test
def test_an_update_is_on_probation_and_rolls_back_with_settings_when_it_fails(lab):
    lab.installed("clock", TICKER, defines={"v": "1"})

    async def body(s):
        old = s.slot("clock").record["id"]
        new = lab.image(CRASH)
        done = await s.part("switch").install(s, "clock", new, {"defines": {"v": "2"}})
        assert done["replaced"] and done["probation_ms"] == 10000
        fault = await s.part("trial").judgement(s, s.slot("clock"))
        assert "ZeroDivisionError" in fault
        record = s.slot("clock").record
        assert (record["id"], record["settings"]) == (old, {"defines": {"v": "1"}})
        await until(lambda: s.slot("clock").state == "running")
        assert not s.store.has(new)

    lab.run(body)


@lab_test
def test_an_update_that_ends_with_0_or_says_ready_has_passed(lab):
    lab.installed("clock", TICKER)
    ready = "import asyncio, kodkod\nasync def main():\n    kodkod.ready()\n    1/0\n"

    async def body(s):
        s.kernel.supervisor = s
        for source in (ENDS, ready):
            new = lab.image(source)
            await s.part("switch").install(s, "clock", new, {"restart": "never"})
            assert await s.part("trial").judgement(s, s.slot("clock")) == ""
            assert s.slot("clock").record["id"] == new
            assert [s.store.has(image_id(n)) for n in range(1, lab.count)] == (
                [False] * (lab.count - 1)
            )

    lab.run(body)


@lab_test
def test_an_update_that_ends_at_once_under_always_is_rolled_back(lab):
    lab.installed("clock", TICKER, restart="always")

    async def body(s):
        await s.part("switch").install(s, "clock", lab.image(ENDS), {"restart": "always"})
        assert "ended with code 0" in await s.part("trial").judgement(s, s.slot("clock"))

    lab.run(body)


@lab_test
def test_an_update_during_probation_keeps_the_last_proved_version(lab):
    lab.installed("clock", TICKER)

    async def body(s):
        old = s.slot("clock").record["id"]
        await s.part("switch").install(s, "clock", lab.image(TICKER + "# 2\n"), {})
        await s.part("switch").install(s, "clock", lab.image(CRASH), {})
        assert await s.part("trial").judgement(s, s.slot("clock"))
        assert s.slot("clock").record["id"] == old

    lab.run(body)


@lab_test
def test_a_boot_restarts_a_probation_once_then_rolls_back(lab):
    lab.installed("clock", TICKER)
    ids = []

    async def update(s):
        ids.append(s.slot("clock").record["id"])
        ids.append(lab.image(TICKER + "# 2\n"))
        await s.part("switch").install(s, "clock", ids[1], {})

    async def again(s):
        record = s.slot("clock").record
        assert (record["id"], record["probation"]) == (ids[1], 2)

    async def back(s):
        record = s.slot("clock").record
        assert (record["id"], record["probation"]) == (ids[0], 0)
        assert s.slot("clock").state == "running"

    for body in (update, again, back):
        lab.run(body)


@lab_test
def test_a_boot_after_a_watchdog_reset_rolls_back_at_once(lab):
    lab.installed("clock", TICKER)
    ids = []

    async def update(s):
        ids.append(s.slot("clock").record["id"])
        await s.part("switch").install(s, "clock", lab.image(TICKER + "# 2\n"), {})

    async def back(s):
        assert s.slot("clock").record["id"] == ids[0]

    lab.run(update)
    cause, port.reset_cause = port.reset_cause, lambda: "watchdog"
    try:
        lab.run(back)
    finally:
        port.reset_cause = cause


@lab_test
def test_the_same_image_and_settings_again_change_nothing(lab):
    lab.installed("clock", TICKER)

    async def body(s):
        app = s.slot("clock").app
        done = await s.part("switch").install(s, "clock", s.slot("clock").record["id"], {})
        assert done["unchanged"] and s.slot("clock").app is app

    lab.run(body)


@lab_test
def test_other_settings_for_the_same_image_restart_it_without_probation(lab):
    lab.installed("clock", TICKER)

    async def body(s):
        app = s.slot("clock").app
        image = s.slot("clock").record["id"]
        done = await s.part("switch").install(s, "clock", image, {"restart": "always"})
        assert (done["unchanged"], done["probation_ms"]) == (False, 0)
        assert s.slot("clock").app is not app
        assert app.reason == "stopped"

    lab.run(body)


@lab_test
def test_a_change_goes_on_when_the_one_who_asked_is_gone(lab):
    slow = "import asyncio\nasync def main():\n    try:\n        await asyncio.sleep(9)\n"
    slow += "    finally:\n        await asyncio.sleep_ms(100)\n"
    lab.installed("clock", slow)

    async def body(s):
        new = lab.image(TICKER)
        asked = asyncio.create_task(s.part("switch").install(s, "clock", new, {}))
        await asyncio.sleep_ms(20)
        asked.cancel()
        await until(lambda: s.slot("clock").app and s.slot("clock").app.image == new)

    lab.run(body)


FAMILY = """
import asyncio, kodkod
from kodkod import service
async def grandchild():
    try:
        await asyncio.sleep(1000)
    finally:
        try:
            kodkod.spawn(grandchild)
        except RuntimeError as exc:
            print(exc)
async def child():
    @service("family")
    class Family:
        pass
    kodkod.spawn(grandchild)
    await asyncio.sleep(1000)
async def main():
    kodkod.spawn(child)
    {}
"""
STAYS = FAMILY.format("await asyncio.sleep(1000)")
FAILS = FAMILY.format("await asyncio.sleep_ms(20); 1/0")
GOES = FAMILY.format("")


def family(s):
    """What of the installed app `fam` and what it has spawned runs: numbers of their instances."""
    return [app.gid for app in s.kernel.apps if app.origin == "fam"]


@lab_test
def test_what_an_app_has_spawned_ends_with_its_stop_update_and_removal(lab):
    lab.installed("fam", STAYS)

    async def body(s):
        switch = s.part("switch")
        slot = s.slot("fam")
        await until(lambda: len(family(s)) == 3)
        first = family(s)
        assert slot.record["id"] in s.part("held").needed(s, slot)  # while a child runs
        await switch.install(s, "fam", lab.image(STAYS + "# changed"), {})
        await until(lambda: len(family(s)) == 3)
        assert not set(first) & set(family(s))
        first = family(s)
        await switch.restart(s, slot)
        await until(lambda: len(family(s)) == 3)
        assert not set(first) & set(family(s))
        assert "is ending: it spawns no more" in said("fam.{}".format(first[2]))
        await switch.stop(s, slot)
        assert family(s) == []
        switch.start(s, slot)
        await until(lambda: len(family(s)) == 3)
        await switch.uninstall(s, "fam", False)
        assert family(s) == []
        assert not s.store.has(image_id(lab.count))

    lab.run(body)


@lab_test
def test_parent_and_child_end_independently_and_a_new_start_ends_what_is_left(lab):
    lab.installed("fam", GOES)

    async def body(s):
        slot = s.slot("fam")
        await until(lambda: slot.state == "ended")
        await asyncio.sleep_ms(20)
        left = family(s)
        assert len(left) == 2
        switch.start(s, slot)
        await until(lambda: slot.state == "ended" and not set(left) & set(family(s)))
        assert len(family(s)) == 2
        await switch.stop(s, slot)
        assert family(s) == []

    lab.run(body)


@lab_test
def test_a_restart_after_a_failure_and_a_roll_back_leave_one_set_of_children(lab):
    lab.installed("fam", FAILS, restart="on-failure")

    async def body(s):
        slot = s.slot("fam")
        await until(lambda: slot.restarts == 3)
        assert len(family(s)) <= 3

    async def rolled_back(s):
        slot = s.slot("fam")
        await until(lambda: len(family(s)) == 3)
        await s.part("switch").install(s, "fam", lab.image(FAILS), {})
        assert "ZeroDivisionError" in await s.part("trial").judgement(s, slot)
        gid = slot.app.gid
        await until(lambda: len(family(s)) == 3 and min(family(s)) == gid)

    lab.run(body)
    lab.installed("fam", STAYS)
    lab.run(rolled_back)


@lab_test
def test_a_timeout_stops_what_an_app_has_spawned_as_well(lab):
    lab.installed("fam", STAYS, timeout_ms=60)

    async def body(s):
        await until(lambda: len(family(s)) == 3)
        await until(lambda: family(s) == [])
        assert s.slot("fam").reason == "stopped"

    lab.run(body)


@lab_test
def test_what_is_not_installed_is_stopped_by_its_name(lab):
    lab.installed("fam", STAYS)

    async def body(s):
        switch = s.part("switch")
        await until(lambda: len(family(s)) == 3)
        parent, child, grandchild = family(s)
        await switch.end(s, "fam.{}".format(child))
        assert family(s) == [parent, grandchild]
        s.kernel.begin("host:1", until(lambda: False))
        for name in ("host:1", "kodkod", "fam.{}".format(child)):
            with raises(AppNotFound):
                switch.end(s, name)
        await switch.end(s, "fam")
        assert (family(s), s.slot("fam").state) == ([], "stopped")

    lab.run(body)


@lab_test
def test_uninstalling_removes_the_image_and_the_data_unless_kept(lab):
    lab.installed("a", TICKER)
    lab.installed("b", TICKER)
    os.mkdir(ROOT + "/data")
    for name in ("a", "b"):
        os.mkdir(ROOT + "/data/" + name)

    async def body(s):
        await s.part("switch").uninstall(s, "a", True)
        await s.part("switch").uninstall(s, "b", False)
        assert os.listdir(ROOT + "/data") == ["a"]
        assert os.listdir(ROOT + "/apps") == []
        assert s.slots == {}

    lab.run(body)
