# Runs misbehaving apps one after the other beside well-behaved ones, in one kernel, and prints
# one JSON object for each. Arguments: folder of tests, rounds, limit (ms), names of apps.

import asyncio
import json
import sys

TESTS, ROUNDS, LIMIT = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
NAMES = sys.argv[4:]
sys.path.insert(0, TESTS + "/unit")
if NAMES[0] in ("lane", "lane29"):  # on fakes of an ESP32's hardware
    __import__(NAMES.pop(0))
import kernel_lab as lab  # noqa: E402
from kodkod.apps import loader, logs, starting, upkeep  # noqa: E402

GRACE_MS = 60
upkeep.PERIOD_MS = 50  # the sooner it has its reserve back after an app that ate the heap


def start(kernel, name, entry, folder="park", limit=LIMIT):
    app = kernel.app(name)
    app.limit = limit
    starting.assign(app, TESTS + "/apps/" + folder)
    if folder == "park":
        loader.path(app).append(TESTS + "/apps/park_good")
    app.data = lab.ROOT + "/data/" + name
    return kernel.start(app, loader.main(app, entry))


def expectations(name):
    wanted = {"says": []}
    with open(TESTS + "/apps/park/" + name + ".py") as file:
        for line in file:
            if line[:2] != "# ":
                break
            key, _, value = line[2:].strip().partition(": ")
            if key == "says":
                wanted[key].append(value)
            elif key in ("ends", "stop after", "caller gets", "short limit"):
                wanted[key] = value
    return wanted


class Park:
    def __init__(self, kernel):
        self.kernel = kernel
        self.good = [start(kernel, name, name, "park_good", 1000) for name in ("provider", "user")]

    @property
    def user(self):
        return self.good[1].modules["user"]

    async def heap(self):
        """Bytes in use while the well-behaved are between two messages."""
        least = None
        while self.kernel.short:
            await asyncio.sleep_ms(5)
        for _ in range(4):
            await asyncio.sleep_ms(7)
            now = await lab.heap(self.kernel)
            least = now if least is None else min(now, least)
        return least

    async def round(self, name, wanted):
        """One life of a misbehaving app: what it was, as a dict."""
        kernel = self.kernel
        self.user.longest_gap = 0
        calls, notified = self.user.calls, self.user.notified
        caller = None
        if "caller gets" in wanted:
            caller = start(kernel, "caller", "caller", "park_good")
        # Who is not to run into the limit may be held up by what else this computer does.
        short = wanted["ends"] in ("runaway", "reset") or "short limit" in wanted
        limit = LIMIT if short else 10 * LIMIT
        app = start(kernel, "bad", name, limit=limit)
        if "stop after" in wanted:
            await asyncio.sleep_ms(int(wanted["stop after"]))
            assert app.is_running, (app.reason, lab.log("bad"))
            await app.stop(GRACE_MS)
        code = await app.wait()
        got = None
        if caller:
            await caller.wait()
            got = lab.log("caller")
        # The well-behaved must go on as before.
        calls_after, notified_after = self.user.calls, self.user.notified
        while self.user.calls < calls_after + 2 or self.user.notified < notified_after + 2:
            assert self.good[0].is_running and self.good[1].is_running, self.good[1].traceback
            await asyncio.sleep_ms(5)
        while len(kernel.apps) > 3:  # its children
            await kernel.apps[-1].wait()
        found = {
            "ends": app.reason + ("" if code == 1 or app.reason == "stopped" else " %d" % code),
            "said": lab.log("bad")[-200:],
            "missing": [text for text in wanted["says"] if text not in lab.log("bad")],
            "traceback": app.traceback,
            "caller": got,
            "gap": self.user.longest_gap,
            "cpu_us": app.cpu_us,
        }
        app = caller = None
        for line in list(logs.lines):
            logs.forget(line[3])
        logs.lines.clear()  # gives its room back, too
        lab.whole(kernel, apps=self.good)
        return found


async def main(kernel):
    park = Park(kernel)
    while "user" not in park.good[1].modules or park.user.calls < 5:
        await asyncio.sleep_ms(5)
    for name in NAMES:
        wanted = expectations(name)
        # Lists that grow would be seen in the heap.
        heaps, gaps = [0] * ROUNDS, [0] * ROUNDS
        found = {"name": name, "heaps": heaps, "gaps": gaps, "wanted": wanted}
        try:
            for n in range(ROUNDS):
                found.update(await park.round(name, wanted))
                gaps[n] = found["gap"]
                heaps[n] = await park.heap()
        except Exception as exc:
            found["failure"] = logs.traceback(exc)
        logs.native(json.dumps(found))
    for app in park.good:
        assert app.is_running


lab.run(main)
