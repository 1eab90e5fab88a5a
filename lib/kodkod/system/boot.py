# What firmware/main.py starts: the kernel, the system's services, the installed apps, the link.

import json

from kodkod import port
from kodkod.apps import kernel as kernels
from kodkod.apps import logs
from kodkod.apps.supervisor import Supervisor
from kodkod.storage import flash
from kodkod.storage.catalog import Catalog
from kodkod.storage.store import Store
from kodkod.system.apps import AppsProvider
from kodkod.system.device import DeviceProvider
from kodkod.system.log import LogProvider


def settings():
    """The device's kodkod.json: name, id, key, port, wifi."""
    with flash.open(port.ROOT + "/kodkod.json") as file:
        return json.load(file)


def main():
    """Run the device; returns only when the kernel is told to end, with its exit code."""
    kernel = kernels.start()
    logs.followers.append(_console)
    kernel.task(kernel.system, _boot(kernel, settings()))
    return kernel.run()


def _console(line):
    logs.native("[{}] {}".format(line[3], line[4]))


async def _boot(kernel, config):
    supervisor = Supervisor(kernel, Store(port.ROOT), Catalog(port.ROOT))
    kernels.supervisor = supervisor
    AppsProvider(supervisor).install()
    LogProvider().install()
    DeviceProvider(kernel, supervisor.store, config).install()
    supervisor.load()
    supervisor.boot()
    await _serve(kernel, config)


async def _serve(kernel, config):
    from kodkod.link import tcp

    def start_app(name, coro):
        return kernel.start(kernel.app(name), coro)

    hello = {"name": config["name"], "id": config["id"], "chip": port.CHIP}
    await tcp.serve(config["port"], bytes.fromhex(config["key"]), hello, start_app, port.BIND)
