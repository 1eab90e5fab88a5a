"""The table of verbs: the module that does each, and what the overview says of it."""

from __future__ import annotations

# A module is imported when one of its verbs is used, and has its own
# VERBS = {verb: (add_arguments(parser), handler(args, out) -> exit code or None)}.
VERBS: dict[str, tuple[str, str]] = {
    "flash": ("kod.cli.flash", "put MicroPython and Kodkod on a board"),
    "setup": ("kod.cli.setup", "put Kodkod on a device that runs MicroPython, or renew it"),
    "simulate": ("kod.cli.simulate", "run a device on this computer"),
    "run": ("kod.cli.run", "run a file now, on a device or on this computer (-d host)"),
    "watch": ("kod.cli.watch", "run a file, and again at each save of it or what it imports"),
    "install": ("kod.cli.install", "install an app by name: it starts now and at each boot"),
    "uninstall": ("kod.cli.apps", "remove an app"),
    "list": ("kod.cli.apps", "show the apps of a device"),
    "info": ("kod.cli.apps", "show all that is known of an app, or of the device"),
    "start": ("kod.cli.apps", "start an app"),
    "stop": ("kod.cli.apps", "stop an app until it is started again"),
    "restart": ("kod.cli.apps", "stop an app and start it"),
    "config": ("kod.cli.config", "show or change settings: of an app, Wi-Fi, the watchdog"),
    "logs": ("kod.cli.logs", "show what apps printed; -f goes on"),
    "monitor": ("kod.cli.console", "show all that a device says, live"),
    "repl": ("kod.cli.console", "a prompt on the device, while its apps go on"),
    "top": ("kod.cli.top", "show what each app takes of the device, live"),
    "services": ("kod.cli.services", "show which app provides which service"),
    "call": ("kod.cli.services", "call a method of a service"),
    "devices": ("kod.cli.devices", "show the devices known here"),
    "scan": ("kod.cli.devices", "look for devices in the network"),
    "ping": ("kod.cli.devices", "check that a device answers"),
    "reset": ("kod.cli.devices", "restart a device"),
    "build": ("kod.cli.build", "build an app's image without sending it"),
    "port": ("kod.cli.port", "show the serial ports, or choose one"),
    "doctor": ("kod.cli.doctor", "look for what is wrong, and say what mends it"),
    "version": ("kod.cli.version", "show the versions of kod and its tools"),
}
