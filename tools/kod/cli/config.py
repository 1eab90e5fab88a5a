"""kod config: settings of an installed app; the Wi-Fi networks, watchdog and log of a device."""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any

from kod.cli.apps import shown_settings
from kod.cli.devices import each
from kod.cli.output import Output, printable
from kod.cli.parse import add_device, duration_ms
from kod.cli.settings import add_settings, settings_of
from kod.device import Device
from kod.errors import BadInput, NotThere

_SPANS = ("interval", "timeout", "limit", "probation")  # settings that are a time
_SETTINGS = (*_SPANS, "restart", "after", "args", "defines")
_LOG_LEAST, _LOG_MOST = 1024, 1024 * 1024  # bytes
_WATCHDOG_MS = 60_000
_WATCHDOG_LEAST_MS = 5_000  # a step of an app may take 2 s, and it is fed once a second


def _arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("what", choices=("app", "wifi", "watchdog", "logs"), help="what is shown or set")
    add(
        "words",
        nargs="*",
        metavar="...",
        help="app NAME; wifi, wifi add SSID, wifi remove SSID; watchdog, watchdog on|off|TIME; "
        "logs, logs SIZE",
    )
    add_settings(parser)
    add("--probation", type=duration_ms, metavar="TIME", help="how long a new version is on trial")
    add(
        "--unset",
        action="append",
        default=[],
        metavar="SETTING",
        type=_setting,
        help=f"back to its default: {', '.join(_SETTINGS)}, or one define: defines.KEY",
    )
    add("--password", help="of the network to add; asked for if not given ($KOD_WIFI_PASSWORD)")
    add("--open", action="store_true", help="the network to add has no password")
    add_device(parser)


def _setting(text: str) -> str:
    name, _, key = text.partition(".")
    if name not in _SETTINGS or (key and name != "defines"):
        known = ", ".join(_SETTINGS)
        raise argparse.ArgumentTypeError(f"'{text}' is no setting; take {known} or defines.KEY")
    return text


def _config(args: argparse.Namespace, out: Output) -> int:
    changes = _changes(args)
    if args.what != "app" and changes:
        raise BadInput(f"config {args.what} takes none of an app's settings")
    if args.what != "wifi" and (args.password is not None or args.open):
        raise BadInput("--password and --open belong to: config wifi add SSID")
    if args.what == "app":
        return _app(args, changes, out)
    return _OF_DEVICE[args.what](args, out)


def _changes(args: argparse.Namespace) -> dict[str, Any]:
    """What is to be set, and None for what is to be taken back."""
    changes = settings_of(args)
    if args.probation is not None:
        changes["probation_ms"] = args.probation
    for text in args.unset:
        name, _, key = text.partition(".")
        if key:
            changes.setdefault("defines", {})[key] = None
        else:
            changes[f"{name}_ms" if name in _SPANS else name] = None
    return changes


def _app(args: argparse.Namespace, changes: dict[str, Any], out: Output) -> int:
    if len(args.words) != 1:
        raise BadInput("config app is followed by the name of one app")
    (name,) = args.words

    def change(device: Device) -> Any:
        if changes:
            device.configure(name, changes)
            out.note(f"'{name}' on '{device.name}' runs with the new settings")
        settings = device.info(name)["settings"]
        if not out.as_json:
            shown = printable(shown_settings(settings), sys.stdout)
            out.line(f"{name}: {shown}" if shown else f"{name}: all as by default")
        return settings

    return each(args, out, change)


def _wifi(args: argparse.Namespace, out: Output) -> int:
    action, *names = args.words or ("list",)
    if (action, len(names)) not in (("list", 0), ("add", 1), ("remove", 1)):
        raise BadInput("config wifi is followed by nothing, add SSID, or remove SSID")
    password = _password(args, names[0]) if action == "add" else ""

    def change(device: Device) -> Any:
        if action == "add":
            device.add_network(names[0], password)
            out.note(f"'{device.name}' knows the network '{names[0]}'")
        elif action == "remove":
            if not device.remove_network(names[0]):
                raise NotThere(f"'{device.name}' knows no network '{names[0]}'")
            out.note(f"'{device.name}' has forgotten the network '{names[0]}'")
        known = device.networks()
        if not out.as_json and action == "list":
            for name in known:
                out.line(name)
            if not known:
                out.note(f"'{device.name}' knows no network; kod config wifi add SSID")
        return known

    return each(args, out, change)


def _password(args: argparse.Namespace, ssid: str) -> str:
    from kod.cli.device_options import password_of

    if args.open and args.password:
        raise BadInput("--open and --password exclude each other")
    return password_of(ssid, args.password, args.open)


def _watchdog(args: argparse.Namespace, out: Output) -> int:
    if len(args.words) > 1:
        raise BadInput("config watchdog is followed by nothing, on, off, or a time")
    ms = _watchdog_ms(args.words[0]) if args.words else None

    def change(device: Device) -> Any:
        now = device.watchdog(ms)
        text = f"restarts the device when it hangs for {now / 1000:g} s" if now else "off"
        if ms == 0:
            text = "off from the next restart on: once started nothing else stops it"
        if not out.as_json:
            out.line(f"watchdog: {text}")
        return {"watchdog_ms": now}

    return each(args, out, change)


def _watchdog_ms(word: str) -> int:
    if word in ("on", "off"):
        return _WATCHDOG_MS if word == "on" else 0
    try:
        ms = duration_ms(word)
    except argparse.ArgumentTypeError as error:
        raise BadInput(f"config watchdog: {error}, and neither on nor off") from None
    if ms < _WATCHDOG_LEAST_MS:
        raise BadInput(f"a watchdog needs at least {_WATCHDOG_LEAST_MS // 1000} s")
    return ms


def _logs(args: argparse.Namespace, out: Output) -> int:
    if len(args.words) > 1:
        raise BadInput("config logs is followed by nothing, or by a size")
    wanted = _log_bytes(args.words[0]) if args.words else None

    def change(device: Device) -> Any:
        now = device.log_pool(wanted)
        if not out.as_json:
            out.line(f"logs: the lines of all apps share {now} bytes of the device's memory")
        return {"log_bytes": now}

    return each(args, out, change)


def _log_bytes(word: str) -> int:
    match = re.fullmatch(r"(\d{1,7})(k?)", word.lower())
    if not match:
        raise BadInput(f"config logs: '{word}' is no size like 8k or 4096")
    count = int(match[1]) * (1024 if match[2] else 1)
    if not _LOG_LEAST <= count <= _LOG_MOST:
        raise BadInput("config logs: take 1k to 1024k; it is memory that apps do not have")
    return count


_OF_DEVICE = {"wifi": _wifi, "watchdog": _watchdog, "logs": _logs}
VERBS = {"config": (_arguments, _config)}
