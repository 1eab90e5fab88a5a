# What firmware/main.py starts: the kernel, the system's services, the installed apps, the link.

from kodkod import port
from kodkod.apps import kernel as kernels
from kodkod.apps import logs
from kodkod.apps.supervisor import Supervisor
from kodkod.storage.catalog import Catalog
from kodkod.storage.store import Store
from kodkod.system import settings
from kodkod.system.apps import AppsProvider
from kodkod.system.device import DeviceProvider
from kodkod.system.log import LogProvider
from kodkod.system.network import NetworkProvider


def main():
    """Run the device; returns only when the kernel is told to end, with its exit code."""
    kernel = kernels.start()
    logs.followers.append(_console)
    kernel.task(kernel.system, _boot(kernel, settings.load()))
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
    # The apps have started; from here on it is about the way in.
    network = NetworkProvider(config, port.radio(config["name"]))
    network.install()
    if network.radio:
        kernel.task(kernel.system, network.run())
    key = bytes.fromhex(config["key"])
    if not key:
        logs.write(kernel.system, logs.WARNING, "no key: only the cable leads in; kod setup")
        return
    from kodkod.link import tcp

    def start_app(name, coro):
        return kernel.start(kernel.app(name), coro)

    hello = {"name": config["name"], "id": config["id"], "chip": port.CHIP}
    await tcp.serve(config["port"], key, hello, start_app, port.BIND)
