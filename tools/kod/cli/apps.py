"""What is done to an app by its name: list, info, start, stop, restart, uninstall."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from kod.cli.devices import each
from kod.cli.output import Output, duration, paint, printable, size
from kod.cli.parse import add_device
from kod.device import Device
from kod.installing import MEMORY_WAY_OUT, AppFailure, waits_for_memory

_COLOURS = {
    "running": "green",
    "on probation": "yellow",
    "waiting": "yellow",
    "waiting for memory": "red",
    "failed": "red",
    "quarantined": "red",
}


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
            _state(record),
            duration(record["uptime_ms"]) if record.get("uptime_ms") is not None else "",
            record.get("restarts", 0),
            size(record["size"]) if record.get("size") is not None else "-",
            (record.get("id") or "-")[:12],
        )
        for record in records
    ]
    states = {row[1] for row in rows}
    out.table(head, rows, {1: {one: _COLOURS.get(one.partition(",")[0], "dim") for one in states}})


def _state(record: dict[str, Any]) -> str:
    """In two words; with the exit code where that says more."""
    state: str = record.get("state") or "running"
    if waits_for_memory(record):
        return "waiting for memory"
    if state == "running" and record.get("probation"):
        return "on probation"
    return f"{state}, code {record['code']}" if record.get("code") else state


def _info_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="an app; without it, the device itself")
    add_device(parser)


def _info(args: argparse.Namespace, out: Output) -> int:
    def show(device: Device) -> Any:
        record = device.info(args.name) if args.name else device.about()
        if args.name:
            provided = device.services()
            record["services"] = sorted(one["name"] for one in provided if one["app"] == args.name)
        if not out.as_json:
            _facts(_of_app(record) if args.name else _of_device(record), out)
            if record.get("traceback"):
                out.line(paint(printable(record["traceback"].rstrip(), sys.stdout), "red"))
        return record

    return each(args, out, show)


def _of_app(record: dict[str, Any]) -> dict[str, str]:
    """What a person wants to know of an app, in that order."""
    mpy = record.get("mpy")
    made = f"kod {record.get('kodkod', '?')}, " + (f".mpy {_dots(mpy)}" if mpy else "sources")
    facts = {
        "name": record["name"],
        "state": _state(record),
        "uptime": duration(record["uptime_ms"]) if "uptime_ms" in record else "",
        "restarts": str(record["restarts"]),
        "last end": _end(record),
        "image": f"{record['id'][:12]}, {size(record['size'])} on flash, by {made}",
        "on probation": f"until it is proved, {record['previous'][:12]} is kept"
        if record["probation"] and record["previous"]
        else "",
        "settings": shown_settings(record["settings"]),
        "by default": shown_settings(record.get("defaults") or {}),
        "services": ", ".join(record["services"]),
        "messages": str(record.get("messages", "")),
        "processor": f"{record['cpu_us'] / 1e6:.2f} s" if "cpu_us" in record else "",
        "log": f"{record['dropped']} lines were dropped" if record.get("dropped") else "",
    }
    return {key: fact for key, fact in facts.items() if fact}


def _end(record: dict[str, Any]) -> str:
    """How the last instance ended, if one did."""
    if record.get("reason") is None or record.get("code") is None:  # "memory": it waits for some
        return ""
    return f"{record['reason']}, code {record['code']}"


def _of_device(record: dict[str, Any]) -> dict[str, str]:
    facts = {
        "name": record["name"],
        "id": record["id"],
        "chip": record["chip"],
        "versions": f"Kodkod {record['kodkod']}, MicroPython {record['version']}, "
        f".mpy {_dots(record['mpy'])}",
        "uptime": f"{duration(record['uptime_ms'])}, since a start by {record['boot_reason']}",
        "free memory": size(record["free_ram"]),
        "free flash": size(record["free_flash"]),
        "safe mode": record.get("safe_mode") or "",
    }
    return {key: fact for key, fact in facts.items() if fact}


def _dots(numbers: list[int]) -> str:
    return ".".join(map(str, numbers))


def _facts(facts: dict[str, str], out: Output) -> None:
    width = max(map(len, facts), default=0)
    for key, fact in facts.items():
        out.line(f"{paint(key.ljust(width), 'dim')}  {printable(fact, sys.stdout)}")


def shown_settings(settings: dict[str, Any]) -> str:
    """As the options that set them."""
    parts = []
    for key, value in sorted(settings.items()):
        if key == "defines":
            parts += [f"-D {name}={json.dumps(one)}" for name, one in sorted(value.items())]
        elif key == "args":
            continue
        elif isinstance(value, list):
            parts += [f"--{key} {one}" for one in value]
        elif key.endswith("_ms"):
            parts.append(f"--{key.removesuffix('_ms')} {_span(value)}")
        else:
            parts.append(f"--{key} {value}")
    arguments = [str(one) for one in settings.get("args") or ()]
    return " ".join([*parts, *(["--", *arguments] if arguments else [])])


def _span(ms: int) -> str:
    """A time to the millisecond, as it can be typed: 1h30m, 1s500ms."""
    text = ""
    for unit, length in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        count, ms = divmod(ms, length)
        text += f"{count}{unit}" if count else ""
    return text + (f"{ms}ms" if ms or not text else "")


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
        waiting = []
        for name in args.name:
            if action(device, name) == "waiting":
                waiting.append(name)
            else:
                out.note(f"'{name}' {done} on '{device.name}'")
        if waiting:
            names = ", ".join(f"'{name}'" for name in waiting)
            raise AppFailure(f"{names}: started when there is memory for it; {MEMORY_WAY_OUT}")
        return {"done": done, "names": args.name}

    return each(args, out, all_names)


VERBS = {
    "list": (_device_only, _list),
    "info": (_info_arguments, _info),
    "start": (_name_arguments, _start),
    "stop": (_name_arguments, _stop),
    "restart": (_name_arguments, _restart),
    "uninstall": (_uninstall_arguments, _uninstall),
}
