"""What is done to an app by its name: list, info, start, stop, restart, uninstall, config."""

from __future__ import annotations

import argparse
from typing import Any

from kod.cli.devices import each
from kod.cli.output import Output, duration, paint, size
from kod.cli.parse import add_device
from kod.cli.settings import add_settings, settings_of
from kod.device import Device

_COLOURS = {"running": "green", "failed": "red", "quarantined": "red", "waiting": "yellow"}


def _device_only(parser: argparse.ArgumentParser) -> None:
    add_device(parser)


def _list(args: argparse.Namespace, out: Output) -> int:
    def show(device: Device) -> Any:
        records = device.list()
        if not out.as_json:
            _table(device, records, out)
        return records

    return each(args, out, show)


def _table(device: Device, records: list[dict[str, Any]], out: Output) -> None:
    if not records:
        out.note(f"no apps on '{device.name}'; kod install NAME FILE puts one there")
        return
    head = ("NAME", "STATE", "UPTIME", "RESTARTS", "SIZE", "IMAGE")
    rows = [
        (
            record["name"],
            record.get("state") or "running",
            duration(record["uptime_ms"]) if record.get("uptime_ms") is not None else "-",
            record.get("restarts", 0),
            size(record["size"]) if record.get("size") is not None else "-",
            (record.get("id") or "-")[:12],
        )
        for record in records
    ]
    out.table(head, rows, {1: _COLOURS})


def _info_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="an app; without it, the device itself")
    add_device(parser)


def _info(args: argparse.Namespace, out: Output) -> int:
    def show(device: Device) -> Any:
        record = device.info(args.name) if args.name else device.about()
        if not out.as_json:
            _facts(record, out)
        return record

    return each(args, out, show)


def _facts(record: dict[str, Any], out: Output) -> None:
    """One fact a line; a traceback last, as it is."""
    facts = {key: value for key, value in record.items() if value is not None}
    trace = facts.pop("traceback", None)
    facts.pop("builtins", None)
    width = max(map(len, facts), default=0)
    for key in sorted(facts, key=lambda key: (key != "name", key)):
        out.line(f"{paint(key.ljust(width), 'dim')}  {_fact(key, facts[key])}")
    if trace:
        out.line(paint(trace.rstrip(), "red"))


def _fact(key: str, value: Any) -> str:
    if key.endswith("_ms") and isinstance(value, int):
        return duration(value)
    if key in ("size", "free_ram", "free_flash"):
        return size(value)
    if isinstance(value, dict):
        return ", ".join(f"{name}={one}" for name, one in sorted(value.items())) or "none"
    if key in ("version", "mpy") and isinstance(value, list):
        return ".".join(map(str, value))
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)


def _name_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="+", help="the app; several are done in turn")
    add_device(parser)


def _uninstall_arguments(parser: argparse.ArgumentParser) -> None:
    _name_arguments(parser)
    parser.add_argument("--keep-data", action="store_true", help="leave the files that it wrote")


def _uninstall(args: argparse.Namespace, out: Output) -> int:
    def one(device: Device, name: str) -> None:
        device.uninstall(name, keep_data=args.keep_data)

    return _on_names(args, out, one, "uninstalled")


def _start(args: argparse.Namespace, out: Output) -> int:
    return _on_names(args, out, Device.start, "started")


def _stop(args: argparse.Namespace, out: Output) -> int:
    return _on_names(args, out, Device.stop, "stopped")


def _restart(args: argparse.Namespace, out: Output) -> int:
    return _on_names(args, out, Device.restart, "restarted")


def _on_names(args: argparse.Namespace, out: Output, action: Any, done: str) -> int:
    def all_names(device: Device) -> Any:
        for name in args.name:
            action(device, name)
            out.note(f"'{name}' {done} on '{device.name}'")
        return {"done": done, "names": args.name}

    return each(args, out, all_names)


def _config_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="the app")
    add_settings(parser)
    parser.add_argument(
        "--unset",
        action="append",
        default=[],
        metavar="SETTING",
        help="back to its default: restart, interval, timeout, after, defines, ...",
    )
    add_device(parser)


def _config(args: argparse.Namespace, out: Output) -> int:
    changes = settings_of(args)
    for name in args.unset:
        changes[
            f"{name}_ms" if name in ("interval", "timeout", "limit", "probation") else name
        ] = None

    def change(device: Device) -> Any:
        if changes:
            device.configure(args.name, changes)
            out.note(f"'{args.name}' on '{device.name}' runs with the new settings")
        settings = device.info(args.name)["settings"]
        if not out.as_json:
            _facts(settings, out)
        return settings

    return each(args, out, change)


VERBS = {
    "list": (_device_only, _list),
    "info": (_info_arguments, _info),
    "start": (_name_arguments, _start),
    "stop": (_name_arguments, _stop),
    "restart": (_name_arguments, _restart),
    "uninstall": (_uninstall_arguments, _uninstall),
    "config": (_config_arguments, _config),
}
