# A whole boot on the fakes of stock 1.26.1's hardware: what comes before what.
# heap: 4m
# timeout: 60

import lane  # isort: skip  # noqa: F401


import json
import os

import network
from kernel_lab import remove, settle
from kodkod import port
from kodkod.apps import begin, logs
from kodkod.storage.catalog import Catalog

ROOT = "/tmp/kodkod-boot-{}".format(int.from_bytes(os.urandom(4), "big"))
port.ROOT = ROOT
PROGRAM = "import network\nprint('app', network.WLAN().active(), network.WLAN().isconnected())\n"


def installed(name, source):
    id = "{:064x}".format(1)
    for folder in (ROOT, ROOT + "/apps", ROOT + "/apps/" + id[:12]):
        os.mkdir(folder)
    with open(ROOT + "/apps/" + id[:12] + "/prog.py", "w") as file:
        file.write(source)
    with open(ROOT + "/apps/" + id[:12] + "/app.json", "w") as file:
        json.dump({"entry": "prog", "files": {}}, file)
    record = {"id": id, "settings": {}, "state": None, "probation": 0}
    record.update({"previous": None, "previous_settings": None})
    Catalog(ROOT).put(name, record)


def test_the_radio_is_on_before_the_apps_and_these_start_before_any_network():
    from kodkod.system import boot

    installed("clock", PROGRAM)
    with open(ROOT + "/kodkod.json", "w") as file:
        json.dump({"name": "desk", "id": "1", "key": "", "wifi": [["home", "secret"]]}, file)
    kernel, console = boot.start()

    async def look():
        try:
            while not network.WLAN().isconnected():
                await settle()
        finally:
            kernel.ending = 0

    kernel.task(kernel.system, look())
    try:
        kernel.run()
    finally:
        begin.stop()
        remove(ROOT)
    said = [line[4] for line in logs.lines]
    assert said[0] == "app True False", said
    assert said[1] == "desk (1) is up", said
