# What firmware/main.py starts: the kernel, the system's services, the installed apps, the link.

import sys

from micropython import const

from kodkod import port
from kodkod.apps import begin, boots, logs, startup, trouble, upkeep
from kodkod.apps.supervisor import Supervisor
from kodkod.borrow import borrow
from kodkod.link.console import Console
from kodkod.storage import flash
from kodkod.system import settings
from kodkod.system.provider import SystemProvider

_BOOTS = const(3)  # that may fail in a row before safe mode


def start():
    """Make the kernel, and the tasks that boot the device in it; returns (kernel, console)."""
    kernel = begin.start()
    if flash.exists(port.ROOT + "/lib.new"):  # first, since it watches over all the rest
        kernel.task(kernel.system, borrow("kodkod.system.renew").after_boot(kernel))
    config = settings.load()
    logs.pool = config.get("log_bytes", logs.pool)
    console = kernel.console = Console(
        kernel, _hello(config), config.get("console_limit_ms", 30000)
    )
    if config.get("watchdog_ms"):
        upkeep.watch(config["watchdog_ms"])
    kernel.task(kernel.system, console.serve())
    kernel.task(kernel.system, _boot(kernel, config))
    return kernel, console


def _hello(config):
    # What a link tells its host of this device first.
    return {"name": config["name"], "id": config["id"], "chip": port.CHIP}


async def _boot(kernel, config):
    supervisor = kernel.supervisor = Supervisor(kernel)
    SystemProvider("apps", 1, supervisor).install()
    SystemProvider("log", 2).install()
    SystemProvider("device", 3, supervisor, config).install()
    startup.load(supervisor)
    startup.quarantine(supervisor, boots.culprit())
    trouble.note("")
    supervisor.safe_mode = _why_safe()
    kernel.task(kernel.system, boots.wait())
    wifi = _wifi(config)
    try:
        if supervisor.safe_mode:
            text = "safe mode, no app is started: " + supervisor.safe_mode
            logs.write(kernel.system, logs.ERROR, text)
        else:
            await startup.start(supervisor)
    finally:  # the network after the apps, and whatever became of them
        kernel.task(kernel.system, _serve(kernel, config, wifi))


def _why_safe():
    # Waking from deep sleep is part of what an app does, and no failed boot.
    if port.boot_button():
        return "the boot button is held"
    if port.reset_cause() == "sleep" or boots.count() <= _BOOTS:
        return None
    text = "{} boots in a row did not last 30 s".format(_BOOTS)
    starting = boots.was_starting()
    return text + (", the last while starting '{}'".format(starting) if starting else "")


def _wifi(config):
    make_radio = port.radio(config["name"])
    if make_radio:
        from kodkod.system.wifi import Wifi

        wifi = Wifi(config, make_radio)
        wifi.prepare()
        return wifi


async def _serve(kernel, config, wifi):
    print(config["name"], "({}) is up".format(config["id"]))
    if wifi:
        kernel.task(kernel.system, wifi.run())
    SystemProvider("network", 4, config, wifi).install()
    key = bytes.fromhex(config["key"])
    if not key:
        text = "has no key: only the cable leads in; kod setup gives it one"
        print(config["name"], text)
        return
    if wifi:
        while not wifi.is_up:  # a device on a cable alone has no use for the rest
            await wifi.changed.wait()
        from kodkod.link import beacon

        version = ".".join([str(number) for number in sys.implementation.version[:3]])
        announcing = beacon.announce(
            config["name"], config["id"], port.CHIP, version, config["port"]
        )
        kernel.task(kernel.system, announcing)
    from kodkod.link import tcp

    serving = tcp.serve(config["port"], key, _hello(config), kernel.begin, port.BIND)
    kernel.task(kernel.system, serving)
