# The life of an app: what starts it, what keeps it alive, and every way in which it can end.
# heap: 2m

import asyncio
import builtins
import sys
import time
from time import ticks_add, ticks_diff, ticks_us

import kodkod
from harness import raises
from kernel_lab import (
    ROOT,
    core,
    ended,
    from_files,
    kernel_test,
    log,
    settle,
    started,
    whole,
    write,
)
from kodkod import errors
from kodkod.apps import loader, logs, starting
from kodkod.apps.guard import Guard
from kodkod.message import pack
from kodkod.services import (
    ServiceClient,
    ServiceProvider,
    ServiceResource,
    ServiceResourceProxy,
    ServiceSelector,
    registry,
)
from kodkod.system.log import piece


async def long_steps(ms):
    while True:
        time.sleep_ms(ms)
        await asyncio.sleep(0)


async def forever():
    while True:
        await asyncio.sleep_ms(1000)


@kernel_test
async def test_an_app_ends_with_its_last_task(kernel):
    told = []

    async def later():
        await asyncio.sleep_ms(10)
        told.append("later")

    def main():
        asyncio.create_task(later())
        told.append("main")

    app = started(kernel, main)
    assert app.is_running
    assert app.reason is None
    assert await app.wait() == 0
    assert (told, app.reason, app.is_running) == (["main", "later"], "ended", False)
    assert await app.wait() == 0  # again, of one that has ended


@kernel_test
async def test_an_installed_provider_keeps_its_app_alive(kernel):
    def main():
        provider.append(ServiceProvider("p", 1, 0))
        provider[0].provides(ServiceSelector("p", 1, 0), None) if False else None
        provider[0].install()

    provider = []
    app = started(kernel, main)
    await settle()
    assert app.is_running
    provider[0].uninstall()
    await ended(app, "ended", 0)


@kernel_test
async def test_exit_codes(kernel):
    def leave(value):
        raise SystemExit(value)

    for value, code, reason in (
        (0, 0, "ended"),
        (None, 0, "ended"),
        (3, 3, "failed"),
        (256 + 7, 7, "failed"),
        (-1, 255, "failed"),
        (True, 1, "failed"),
        ("no luck", 1, "failed"),
        ((), 1, "failed"),
        (10**12 + 1, 1, "failed"),
    ):
        app = started(kernel, leave, value, name="exits")
        await ended(app, reason, code)
    assert "no luck" in log("exits")
    app = started(kernel, sys.exit)
    await ended(app, "ended", 0)


@kernel_test
async def test_whatever_is_raised_ends_that_app_alone(kernel):
    class Odd(BaseException):
        pass

    class Empty(Exception):
        def __len__(self):
            return 0

    class NoBool(Exception):
        def __bool__(self):
            raise ValueError("neither true nor false")

    class NoText(Exception):
        def __repr__(self):  # which is what a traceback shows
            raise ValueError("no text")

    class Liar(SystemExit):
        @property
        def args(self):
            raise ValueError("no args")

    class BadCode(SystemExit):
        pass

    class Unprintable:
        def __str__(self):
            raise ValueError("no text")

        def __index__(self):
            raise ValueError("no number")

    other = started(kernel, forever, name="other")
    for kind in (ValueError, KeyboardInterrupt, GeneratorExit, Odd, Empty, NoBool, NoText, Liar):

        def fail():
            raise kind("for a reason")

        async def fail_later():
            await asyncio.sleep_ms(1)
            raise kind("for a reason")

        for main in (fail, fail_later):
            app = started(kernel, main, name="bad")
            code = await app.wait()
            assert code == 1, (kind, code)
            assert app.reason == "failed"
            assert app.traceback
        if kind in (ValueError, Odd):
            assert "for a reason" in app.traceback
            assert "in fail" in app.traceback, app.traceback

    def exit_oddly():
        raise BadCode(Unprintable())

    app = started(kernel, exit_oddly, name="bad")
    assert await app.wait() == 1
    assert other.is_running
    await other.stop()


@kernel_test
async def test_an_exception_that_hangs_when_it_is_shown_is_a_runaway(kernel):
    class Slow(Exception):
        def __repr__(self):
            while True:
                pass

    def fail():
        raise Slow()

    app = started(kernel, fail, limit=50)
    assert await app.wait() == 1
    assert app.reason == "runaway"


@kernel_test
async def test_what_ended_an_app_is_shown_though_its_limit_is_short(kernel):
    class Slow(Exception):
        def __repr__(self):
            began = time.ticks_ms()
            while time.ticks_diff(time.ticks_ms(), began) < 50:
                pass
            return "shown at last"

    def fail():
        raise Slow()

    app = started(kernel, fail, limit=10)
    assert await app.wait() == 1
    assert app.reason == "failed"
    assert "shown at last" in app.traceback


@kernel_test
async def test_stop_lets_finally_blocks_run_and_gives_code_0(kernel):
    told = []

    async def tidy():
        try:
            await forever()
        finally:
            await asyncio.sleep_ms(5)
            told.append("tidied")

    app = started(kernel, tidy)
    await settle()
    await app.stop()
    assert (app.reason, app.code, told) == ("stopped", 0, ["tidied"])
    await app.stop()  # again


@kernel_test
async def test_who_does_not_end_is_ended_by_force(kernel):
    async def stubborn():
        while True:
            try:
                await asyncio.sleep_ms(1000)
            except asyncio.CancelledError:
                pass

    async def waits_for_it():
        task = asyncio.create_task(stubborn())
        while True:
            try:
                await task
            except asyncio.CancelledError:
                pass

    async def waits_for_an_event():
        event = asyncio.Event()
        while True:
            try:
                await event.wait()
            except asyncio.CancelledError:
                pass

    async def bare():
        while True:
            try:
                await asyncio.sleep_ms(1000)
            except:  # noqa: E722
                pass

    async def waits_for_an_open():
        while True:
            try:
                await registry.changed.wait()
            except asyncio.CancelledError:
                pass

    def everything():
        for make in (stubborn, waits_for_it, waits_for_an_event, bare, waits_for_an_open):
            asyncio.create_task(make())
            asyncio.create_task(make())

    app = started(kernel, everything)
    other = started(kernel, forever, name="other")
    await settle()
    await app.stop(30)
    assert (app.reason, app.code) == ("stopped", 0)
    assert "by force" in log("app")
    whole(kernel, apps=[other])
    assert not registry.changed._tasks
    await other.stop()


@kernel_test
async def test_a_handler_that_returns_a_generator_answers_at_once(kernel):
    class Lister(ServiceProvider):
        def handle(self, index, arguments, gid, client):
            return index and (number for number in (1, 2))

    async def main():
        selector = ServiceSelector("lister", 1, 0)
        provider = Lister("lister", 1, 0)
        provider.provides(selector, provider)
        provider.install()
        client = await ServiceClient(selector).open()
        with raises(errors.NotSerializable, "list() an iterator"):
            await client.invoke(1, timeout_ms=None)
        assert await client.invoke(0) == 0 and not provider.running_
        provider.uninstall()

    await ended(started(kernel, main), "ended", 0)


@kernel_test
async def test_on_notified_may_wait_for_tasks_that_call_its_own_client(kernel):
    class Echo(ServiceProvider):
        def handle(self, index, arguments, gid, client):
            if index == "open":
                self.held = ServiceResource(self, client, notifiable=True)
                return self.held
            if index == "notify":
                for value in range(3):
                    self.held.notify(value)
            return arguments

    class Calling(ServiceResourceProxy):
        async def on_notified(self, value):
            call = client.invoke("echo", value)
            answers.append(await (asyncio.wait_for(call, 1) if value else asyncio.gather(call)))

    async def main():
        nonlocal client
        selector = ServiceSelector("echo", 1, 0)
        provider = Echo("echo", 1, 0)
        provider.provides(selector, provider)
        provider.install()
        client = await ServiceClient(selector).open()
        Calling(client, await client.invoke("open"))
        await client.invoke("notify", timeout_ms=500)
        await asyncio.sleep_ms(20)
        provider.uninstall()

    client = None
    answers = []
    await ended(started(kernel, main), "ended", 0)
    assert answers == [[0], 1, 2]


@kernel_test
async def test_what_waits_for_nothing_is_an_error_at_once(kernel):
    def nowhere():
        yield

    class Numbers:
        def __iter__(self):
            return self

        def __next__(self):
            return 7

    async def lost():
        for values in (nowhere(), map(str, [1]), Numbers()):
            try:
                await values
            except errors.NotSerializable as exc:
                told.append(str(exc)[:8])
            await asyncio.sleep_ms(1)

    told = []
    app = started(kernel, lost)
    await ended(app, "ended", 0)
    assert told == ["it waits"] * 3


@kernel_test
async def test_who_waits_for_nothing_can_be_stopped(kernel):
    async def lost():
        while True:
            try:
                await iter([1])
            except errors.NotSerializable:
                pass

    app = started(kernel, lost)
    await settle()
    assert app.is_running
    await app.stop(20)
    assert app.reason == "stopped"


@kernel_test
async def test_a_coroutine_driven_by_hand_harms_nobody(kernel):
    async def sleeps():
        await asyncio.sleep_ms(5)

    async def awaits():
        await asyncio.create_task(sleeps())

    async def tells():
        await asyncio.sleep_ms(1)
        event.set()

    async def is_told():
        asyncio.create_task(tells())
        await event.wait()

    async def reads():
        await channel.receive()

    async def opens():
        await ServiceClient(selector).open(50)

    async def ticks():
        for _ in range(20):
            await asyncio.sleep_ms(1)
        told.append("ticks")

    async def drives(work, more, close):
        x = work()
        x.send(None)
        if close:
            x.close()
        channel.try_send(1)
        registry.changed.set()
        await more()
        await asyncio.sleep_ms(20)
        x.close()
        told.append(1)

    async def ends(work):
        work().send(None)

    async def main():
        nonlocal event, channel
        other = asyncio.create_task(ticks())
        for work in (sleeps, awaits, is_told, reads, opens):
            for more in (sleeps, ticks):
                for close in (True, False):
                    event = asyncio.Event()
                    channel = kodkod.Channel(3)
                    await drives(work, more, close)
            event = asyncio.Event()
            channel = kodkod.Channel(3)
            if work is not opens:
                await asyncio.create_task(ends(work))
        for more in (awaits, is_told, reads):  # what only sleeps waits for nothing else
            event = asyncio.Event()
            channel = kodkod.Channel(3)
            await drives(sleeps, more, False)
        await other

    event = channel = None
    selector = ServiceSelector("nobody", 1, 0)
    told = []
    app = started(kernel, main)
    assert await app.wait() == 0
    assert told.count(1) == 23
    assert told.count("ticks") == 11


@kernel_test
async def test_a_coroutine_driven_to_its_end_by_hand_runs_at_once(kernel):
    async def work():
        await asyncio.sleep_ms(60000)
        return 7

    def traced(coro):
        while True:
            try:
                coro.send(None)
            except StopIteration as exc:
                return exc.value
            yield

    async def quick():
        await asyncio.sleep_ms(2)
        return 8

    async def main():
        x = work()
        x.send(None)
        try:
            x.send(None)
        except StopIteration as exc:
            told.append(exc.value)
        told.append(await traced(quick()))  # as a library does that passes on what it drives

    told = []
    await ended(started(kernel, main), "ended", 0)
    assert told == [7, 8]


@kernel_test
async def test_finally_that_raises_or_waits_for_ever_does_not_keep_an_app(kernel):
    async def raises_in_finally():
        try:
            await forever()
        finally:
            raise ValueError("in finally")

    async def waits_in_finally():
        try:
            await forever()
        finally:
            await forever()

    async def loops_in_finally():
        try:
            await forever()
        finally:
            while True:
                pass

    for main in (raises_in_finally, waits_in_finally, loops_in_finally):
        app = started(kernel, main, limit=60)
        await settle()
        await app.stop(30)
        assert (app.reason, app.code) == ("stopped", 0)
        whole(kernel)


@kernel_test
async def test_an_app_may_end_itself(kernel):
    async def stops_itself():
        await apps[0].stop()
        await forever()

    apps = []
    apps.append(started(kernel, stops_itself))
    await ended(apps[0], "stopped", 0)


@kernel_test
async def test_an_exception_in_any_task_fails_the_app_unless_its_own_task_awaited_it(kernel):
    async def fails():
        raise ValueError("mine")

    async def awaited():
        task = asyncio.create_task(fails())
        await asyncio.sleep_ms(0)  # it has failed by now
        try:
            await task
        except ValueError:
            return

    async def gathered():
        try:
            await asyncio.gather(fails(), forever())
        except ValueError:
            pass
        results = await asyncio.gather(fails(), fails(), return_exceptions=True)
        assert len(results) == 2
        raise SystemExit(7)

    async def waited_for():
        try:
            await asyncio.wait_for(fails(), 1)
        except ValueError:
            return

    async def nobody():
        asyncio.create_task(fails())
        await forever()

    async def cancels():
        task = asyncio.create_task(forever())
        await asyncio.sleep_ms(0)
        task.cancel()
        await asyncio.sleep_ms(0)
        assert task.done()

    await ended(started(kernel, awaited), "ended", 0)
    await ended(started(kernel, gathered), "failed", 7)
    await ended(started(kernel, waited_for), "ended", 0)
    app = started(kernel, nobody, name="nobody")
    await ended(app, "failed")
    assert "mine" in app.traceback
    await ended(started(kernel, cancels), "ended", 0)


@kernel_test
async def test_asyncio_as_it_is_known(kernel):
    told = []

    async def timing():
        try:
            await asyncio.wait_for(forever(), 0.01)
        except asyncio.TimeoutError:
            told.append("timeout")
        lock = asyncio.Lock()
        event = asyncio.Event()
        flag = asyncio.ThreadSafeFlag()

        async def helper():
            async with lock:
                event.set()
            flag.set()

        task = asyncio.create_task(helper())
        await event.wait()
        await flag.wait()
        await task
        assert asyncio.current_task() is core.cur_task
        told.append("done")

    await ended(started(kernel, timing), "ended", 0)
    assert told == ["timeout", "done"]


@kernel_test
async def test_children_belong_to_who_made_them(kernel):
    owners = []

    async def child():
        owners.append(kernel.current.name)

    async def main():
        await asyncio.gather(child(), child())
        await asyncio.wait_for(child(), 1)

    one = started(kernel, main, name="one")
    two = started(kernel, main, name="two")
    await one.wait()
    await two.wait()
    assert sorted(owners) == ["one"] * 3 + ["two"] * 3


@kernel_test
async def test_spawn_copies_values_and_ends_independently(kernel):
    seen = []
    values = [1, {"a": (2, 3)}]

    async def child(given):
        seen.append((given, given is not values))
        await asyncio.sleep_ms(20)

    async def parent():
        app = kodkod.spawn(child, values, name="child")
        assert app.name == "child"
        children.append(app)

    children = []
    app = started(kernel, parent, name="parent")
    await ended(app, "ended", 0)
    assert children[0].is_running
    assert children[0].gid != app.gid
    await ended(children[0], "ended", 0)
    assert seen == [([1, {"a": [2, 3]}], True)]

    async def cannot():
        with raises(kodkod.errors.NotSerializable):
            kodkod.spawn(child, object())

    await ended(started(kernel, cannot), "ended", 0)


@kernel_test
async def test_waiting_for_the_end_of_another(kernel):
    async def bad():
        await asyncio.sleep_ms(5)
        raise SystemExit(9)

    codes = []

    async def parent():
        child = kodkod.spawn(bad)
        codes.append(await child.wait())

    app = started(kernel, parent)
    await ended(app, "ended", 0)
    assert codes == [9]

    async def waits_for_ever():
        await other.wait()

    other = started(kernel, forever, name="other")
    app = started(kernel, waits_for_ever)
    await settle()
    await app.stop()
    await other.stop()
    assert not other.changed._tasks


@kernel_test
async def test_scripts_run_unchanged(kernel):
    body_then_main = "import asyncio\nprint('body')\nasync def main():\n    print('main')\n"
    plain = "print('only a body')\n"
    run_last = (
        "import asyncio\n"
        "async def go():\n    await asyncio.sleep_ms(1)\n    print('ran')\n"
        "try:\n    asyncio.run(go())\n    print('never')\n"
        "finally:\n    print('finally')\n"
    )
    loop = (
        "import uasyncio as asyncio\n"
        "async def go():\n    await asyncio.sleep_ms(1)\n    print('ran')\n"
        "asyncio.create_task(go())\nasyncio.get_event_loop().run_forever()\n"
    )
    complete = (
        "import asyncio\nasync def go():\n    print('ran')\n"
        "loop = asyncio.new_event_loop()\nloop.run_until_complete(go())\n"
    )
    twice = (
        "import asyncio\nasync def go():\n    try:\n        asyncio.run(go())\n"
        "    except RuntimeError as exc:\n        print(exc)\n"
        "def main():\n    raise ValueError('not called after run')\nasyncio.run(go())\n"
    )
    for text, told in (
        (body_then_main, "body\nmain"),
        (plain, "only a body"),
        (run_last, "finally\nran"),
        (loop, "ran"),
        (complete, "ran"),
        (twice, "asyncio.run inside a running app: await it instead"),
    ):
        app = from_files(kernel, "script", {"main.py": text})
        await ended(app, "ended", 0)
        assert log("script") == told, log("script")
        from kodkod.apps import logs

        logs.forget("script")
    app = from_files(
        kernel, "script", {"main.py": "def main(*args):\n    print(args)"}, args=("x", 2)
    )
    await ended(app, "ended", 0)
    assert log("script") == "('x', 2)"


def unaware(name, scope=None, names=None, wanted=None, level=0):
    """The hook as MicroPython before 1.27 calls it: nobody says which module asks."""
    return loader.import_(name, None, None, wanted, level)


@kernel_test
async def test_packages_of_firmware_before_1_27_import_their_own_parts(kernel):
    write(ROOT + "/lib/oldmqtt/robust.py", "from . import simple\nfrom .parts import PART\n")
    write(ROOT + "/lib/oldmqtt/simple.py", "NAME = 'simple'\n")
    write(ROOT + "/lib/oldmqtt/parts.py", "PART = 'part'\n")
    sys.path.append(ROOT + "/lib")
    builtins.__import__ = unaware
    try:
        for line in ("from oldmqtt import robust", "import oldmqtt.robust as robust"):
            text = line + "\nprint(robust.simple.NAME, robust.PART)\n"
            app = from_files(kernel, "user", {"main.py": text})
            await ended(app, "ended", 0)
            assert log("user").split("\n")[-1] == "simple part"
    finally:
        builtins.__import__ = loader.import_
        sys.path.remove(ROOT + "/lib")


USES_PARTS = """
import asyncio
async def main():
    event = asyncio.Event()
    async with asyncio.Lock():
        event.set()
    await asyncio.gather(event.wait(), event.wait())
    print(asyncio.StreamReader.__name__)
"""


@kernel_test
async def test_parts_of_asyncio_are_loaded_by_the_app_that_uses_them_first(kernel):
    loaded = {}
    for name in list(sys.modules):
        if name[:8] == "asyncio." and name != "asyncio.core":
            loaded[name] = sys.modules.pop(name)
    made = {name: asyncio.__dict__[name] for name in asyncio._attrs if name in asyncio.__dict__}
    try:
        for hook in (loader.import_, unaware):
            for name in asyncio._attrs:
                if name in asyncio.__dict__:
                    delattr(asyncio, name)
            for name in list(sys.modules):
                if name[:8] == "asyncio." and name != "asyncio.core":
                    del sys.modules[name]
            builtins.__import__ = hook
            app = from_files(kernel, "user", {"main.py": USES_PARTS})
            await ended(app, "ended", 0)
            assert log("user").split("\n")[-1] == "Stream"
    finally:
        builtins.__import__ = loader.import_
        sys.modules.update(loaded)
        for name in made:
            setattr(asyncio, name, made[name])


@kernel_test
async def test_apps_that_print_and_are_gone_leave_no_count_of_dropped_lines(kernel):
    def line():
        print("a line of a job " + "x" * 100)

    for n in range(400):
        app = started(kernel, line, name="job.{}".format(n))
        await ended(app, "ended", 0)
    with_lines = {line[3] for line in logs.lines}
    assert len(logs.dropped) <= len(with_lines) + 2, len(logs.dropped)
    # Of one that runs the count is kept, whoever else prints.
    stays = started(kernel, forever, name="stays")
    logs.printed(stays, "x" * (logs.pool + 1) + "\n")
    count = logs.dropped["stays"]
    for n in range(400, 800):
        app = started(kernel, line, name="job.{}".format(n))
        await ended(app, "ended", 0)
    assert logs.dropped["stays"] >= count
    with_lines = {line[3] for line in logs.lines}
    assert len(logs.dropped) <= len(with_lines) + 2, len(logs.dropped)


PATCHES_CLASSES = """
import asyncio, uasyncio
def broken(*args):
    raise RuntimeError("patched")
async def main():
    for name in ("Event", "Lock", "ThreadSafeFlag"):
        kind = getattr(asyncio, name)
        assert kind is getattr(uasyncio, name) and kind.__name__ == name
        kind.set = kind.acquire = kind.wait = kind.__init__ = broken
    asyncio.core.IOQueue.wait_io_event = asyncio.core.SingletonGenerator.__next__ = broken
    try:
        asyncio.Event()
    except RuntimeError as exc:
        print(exc)
    await asyncio.sleep(1000)
"""
USES_CLASSES = """
import asyncio
class Flag(asyncio.ThreadSafeFlag):
    pass
async def main():
    event, flag = asyncio.Event(), Flag()
    assert isinstance(event, asyncio.Event) and isinstance(flag, asyncio.ThreadSafeFlag)
    async with asyncio.Lock():
        event.set()
        flag.set()
    await event.wait()
    await flag.wait()
    await asyncio.sleep_ms(1)
    try:
        await asyncio.wait_for(event.wait(), 1)
        await asyncio.wait_for(flag.wait(), 0.01)
    except asyncio.TimeoutError:
        print("as it is known")
"""


@kernel_test
async def test_what_an_app_does_to_classes_of_asyncio_is_seen_by_no_other(kernel):
    bad = from_files(kernel, "bad", {"main.py": PATCHES_CLASSES})
    await settle()
    assert log("bad") == "patched", log("bad")
    user = from_files(kernel, "user", {"main.py": USES_CLASSES})
    await ended(user, "ended", 0)
    assert log("user") == "as it is known"
    event = asyncio.Event()
    event.set()
    await event.wait()
    assert bad.is_running


@kernel_test
async def test_a_script_that_starts_itself_is_not_started_again(kernel):
    text = "def main():\n    print('once')\nmain()\n"
    app = kernel.app("script")
    write(ROOT + "/apps/script/prog.py", text)
    starting.assign(app, ROOT + "/apps/script")
    kernel.start(app, loader.main(app, "prog", script=True))
    await ended(app, "ended", 0)
    assert log("script") == "once"


@kernel_test
async def test_a_body_that_fails_or_is_missing_fails_its_app(kernel):
    app = from_files(kernel, "broken", {"main.py": "import nothing_like_it\n"})
    await ended(app, "failed")
    assert "no module named 'nothing_like_it'" in app.traceback
    app = from_files(kernel, "broken", {"other.py": ""})
    await ended(app, "failed")
    app = from_files(kernel, "broken", {"main.py": "x = (\n"})
    await ended(app, "failed")
    assert "SyntaxError" in app.traceback


@kernel_test
async def test_accounts_go_to_who_ran(kernel):
    from time import ticks_diff, ticks_ms

    def busy(ms):
        start = ticks_ms()
        while ticks_diff(ticks_ms(), start) < ms:
            pass

    async def works():
        for _ in range(3):
            busy(20)
            await asyncio.sleep_ms(0)

    app = started(kernel, works)
    lazy = started(kernel, forever, name="lazy")
    await app.wait()
    assert app.cpu_us >= 55000, app.cpu_us
    assert lazy.cpu_us < app.cpu_us // 2

    def calls():
        kernel.call(lazy, busy, 40)

    before = lazy.cpu_us
    app = started(kernel, calls)
    await app.wait()
    assert lazy.cpu_us - before >= 38000
    assert app.cpu_us < 30000, app.cpu_us
    await lazy.stop()


def test_run_returns_the_first_apps_code_when_every_app_has_ended():
    told = []

    async def child():
        await asyncio.sleep_ms(20)
        told.append("child")
        raise SystemExit(5)

    def main():
        kodkod.spawn(child)
        told.append("main")
        raise SystemExit(3)

    assert kodkod.run(main) == 3
    assert told == ["main", "child"]


def test_run_guards_its_apps():
    def main():
        loader.kernel.current.limit = 50
        while True:
            pass

    async def parent():
        child = kodkod.spawn(main)
        assert await child.wait() == 1
        raise SystemExit(7 if child.reason == "runaway" else 1)

    assert kodkod.run(main) == 1
    assert kodkod.run(parent) == 7


@kernel_test
async def test_a_spawned_app_has_a_record_of_its_own_and_the_same_modules(kernel):
    mine = "import asyncio, sys\ncount = 0\n"
    main = (
        "import asyncio, kodkod, mine\n"
        "async def child():\n"
        "    import mine as again\n"
        "    mine.count += 1\n"
        "    print(again is mine)\n"
        "    await asyncio.sleep(1)\n"
        "async def main():\n"
        "    app = kodkod.spawn(child)\n"
        "    named = kodkod.spawn(child, name='named')\n"
        "    await asyncio.sleep_ms(5)\n"
        "    print(mine.count, app.name[:7], named.name, app.gid != named.gid, app.is_running)\n"
        "    await named.stop()\n"
        "    print(named.reason, app.reason, app.is_running)\n"
        "    await app.stop()\n"
    )
    app = from_files(kernel, "parent", {"main.py": main, "mine.py": mine})
    await ended(app, "ended", 0)
    assert log("parent").split("\n") == [
        "2 parent. named True True",
        "stopped None True",
    ]
    assert log("named") == "True"


def test_the_kernel_can_run_again():
    async def main():
        return 3

    assert kodkod.run(main) == 0

    async def fails():
        raise SystemExit(4)

    assert kodkod.run(fails) == 4
    ran = []

    async def plain():
        ran.append(True)

    asyncio.run(plain())
    assert ran


@kernel_test
async def test_a_task_that_awaits_itself_round_others_or_not_is_an_error_and_no_hang(kernel):
    async def circle(count, cancelled):
        tasks = []

        async def awaits(n):
            await asyncio.sleep_ms(1)
            await tasks[n % count]

        for n in range(count):
            tasks.append(asyncio.create_task(awaits(n + 1)))
        await asyncio.sleep_ms(5)
        if cancelled:
            tasks[0].cancel()
        await tasks[0]

    for count in (1, 2, 5):
        for cancelled in (False, True):
            app = started(kernel, circle, count, cancelled)
            await ended(app, "failed")
            assert "RuntimeError: the task awaits itself" in app.traceback

    async def itself():
        await asyncio.wait_for(asyncio.current_task(), 0.01)

    app = started(kernel, itself)
    await app.wait()
    whole(kernel)


@kernel_test
async def test_tasks_may_await_one_another_and_one_of_them_from_several_sides(kernel):
    async def answer():
        await asyncio.sleep_ms(5)
        return 3

    async def passes_on(task):
        return await task

    async def main():
        first = asyncio.create_task(answer())
        second = asyncio.create_task(passes_on(first))
        third = asyncio.create_task(passes_on(second))
        fourth = asyncio.create_task(passes_on(first))
        for task in third, fourth, first, second:
            assert await task == 3

    assert await started(kernel, main).wait() == 0


@kernel_test
async def test_whatever_an_app_prints_or_raises_can_be_told_over_a_link(kernel):
    def main():
        print("\ud83d\ude00", "as json.loads gives an emoji")
        for _ in range(20):
            print("漢" * 230)
        print("\U0001f600" * 600)
        print("no end", end="")
        raise SystemExit("\ud800" + "漢" * 3000)

    app = started(kernel, main)
    await app.wait()
    assert "no end\n?" in log(app.name), "what it printed last stands before its traceback"
    told = since = 0
    while True:
        lines = piece(None, since)
        if not lines:
            break
        assert len(pack([lines])) < 2000, lines
        told += len(lines)
        since = lines[-1][0]
    assert told >= 8
    assert len(pack(app.traceback)) < 1300


@kernel_test
async def test_a_runaway_is_told_its_own_line_not_one_of_the_kernels(kernel):
    text = "while True:\n    print(end='')\n"
    app = from_files(kernel, "loops", {"main.py": text}, limit=50)
    await ended(app, "runaway")
    assert "main.py, line " in log("loops").split("\n")[-1], log("loops")


@kernel_test
async def test_a_simulated_device_says_that_it_has_no_pins(kernel):
    app = from_files(kernel, "blink", {"main.py": "from machine import Pin\n"})
    await ended(app, "failed")
    assert "ImportError: a simulated device has no pins" in app.traceback


@kernel_test
async def test_what_the_device_loads_for_an_app_is_not_the_app_s_time(kernel):
    # A slow flash: none of an app's modules takes long, but the library's that it uses.
    native = loader.native

    def slow(name, *args):
        if name[:6] == "kodkod":
            began = ticks_us()
            while ticks_diff(ticks_us(), began) < 50000:
                pass
        return native(name, *args)

    loader.native = slow
    try:
        text = "import time\nfrom kodkod import Channel, services\nimport kodkod.message\n"
        app = from_files(kernel, "slow", {"main.py": text}, limit=40)
        await ended(app, "ended", 0)
        assert app.cpu_us < 40000
    finally:
        loader.native = native


@kernel_test
async def test_what_is_loaded_for_what_is_loaded_is_counted_once(kernel):
    def load():
        began = ticks_us()
        while ticks_diff(ticks_us(), began) < 20000:
            pass

    kernel.current = kernel.system  # as in a step
    before = kernel.began
    start = ticks_us()
    loader.meanwhile(lambda: loader.meanwhile(load))
    assert 20000 <= ticks_diff(kernel.began, before) <= ticks_diff(ticks_us(), start)


@kernel_test
async def test_the_time_for_finally_blocks_is_not_used_up_by_other_apps(kernel):
    told = []

    async def saves():
        try:
            await forever()
        finally:
            for number in range(6):
                await asyncio.sleep_ms(1)
                told.append(number)

    app = started(kernel, saves, name="saves")
    busy = started(kernel, long_steps, 40, name="busy")
    await asyncio.sleep_ms(0)
    await app.stop(grace_ms=100)
    assert told == [0, 1, 2, 3, 4, 5]
    await busy.stop()


@kernel_test
async def test_who_never_ends_is_not_waited_for_any_longer_beside_busy_apps(kernel):
    async def stays():
        while True:
            try:
                await forever()
            except asyncio.CancelledError:
                pass

    app = started(kernel, stays, name="stays")
    busy = started(kernel, long_steps, 20, name="busy")
    await asyncio.sleep_ms(0)
    await app.stop(grace_ms=20)
    assert "not ended after 20 ms: by force" in log("stays")
    await busy.stop()


@kernel_test
async def test_beside_long_steps_others_make_many_of_theirs_and_each_goes_on(kernel):
    told = []

    async def quick():
        for _ in range(40):
            await asyncio.sleep_ms(0)
            told.append("quick")

    async def slow(name):
        while True:
            time.sleep_ms(50)
            told.append(name)
            await asyncio.sleep_ms(0)

    apps = [started(kernel, slow, name, name=name) for name in "abcde"]
    await started(kernel, quick).wait()
    between = told[told.index("quick") :]
    assert len(between) < 80, between  # not one of each in turn: 40 and 200
    del told[:]
    while len(told) < 15:
        await asyncio.sleep_ms(10)
    assert set(told[:10]) == set("abcde"), told
    for app in apps:
        await app.stop()


@kernel_test
async def test_who_made_one_long_step_is_soon_treated_as_the_others(kernel):
    async def once():
        time.sleep_ms(80)
        await forever()

    app = started(kernel, once, name="once")
    slow = started(kernel, long_steps, 60, name="slow")
    while not app.busy:
        await asyncio.sleep_ms(1)
    while app.busy:
        await asyncio.sleep_ms(1)
    await slow.stop()
    await app.stop()


@kernel_test
async def test_the_public_names_can_be_imported_all_at_once(kernel):
    text = "from kodkod import *\nfrom kodkod.services import *\nspawn, ServiceResourceProxy\n"
    await ended(from_files(kernel, "all", {"main.py": text}), "ended", 0)


def test_an_interrupt_has_its_time_before_the_next_however_late_it_was_sent():
    class App:
        limit = 60  # ms
        console = None

    class Kernel:
        current = App
        judged = None
        shield = 0
        began = ticks_add(ticks_us(), -10000000)  # a call that does not look took so long

    guard = Guard()
    guard.kernel = Kernel
    assert guard.late() and guard.fire()
    assert not guard.late()
    guard.sent = ticks_add(guard.sent, -130000)  # half the limit and 100 ms
    assert guard.late() and guard.fire()
    assert guard.fired == 4 and not guard.late()
