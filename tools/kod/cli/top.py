"""kod top: what each app takes of the device, live."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from kod.cli.devices import one
from kod.cli.output import Output, duration, paint, size
from kod.cli.parse import add_one_device, duration_ms
from kod.device import Device
from kod.errors import BadInput

_HEAD = ("NAME", "STATE", "CPU %", "MESSAGES/S", "MESSAGES", "RESTARTS", "UPTIME")
_CLEAR = "\x1b[H\x1b[J"


def _arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-i", "--interval", type=duration_ms, default=1000, metavar="TIME", help="1s, 500ms, ...")
    add("-n", "--count", type=int, metavar="N", help="end after N tables; else Ctrl-C ends it")
    add_one_device(parser)


def _top(args: argparse.Namespace, out: Output) -> int:
    if args.interval < 100:
        raise BadInput("--interval: at least 100ms; the device has more to do")
    if args.count is not None and args.count < 1:
        raise BadInput("--count: at least 1")
    with one(args) as device:
        before = _look(device)
        shown = 0
        while args.count is None or shown < args.count:
            time.sleep(args.interval / 1000)
            now = _look(device)
            _show(device.name, now, shares(before, now), out)
            before = now
            shown += 1
    return 0


def _look(device: Device) -> dict[str, Any]:
    records = device.list()
    return {**device.about(), "apps": records}


def shares(before: dict[str, Any], now: dict[str, Any]) -> list[dict[str, Any]]:
    """What each app took between two looks: `cpu` in percent of the device's time, `messages_s`
    a second. An app that has started in between has taken all of it since."""
    old = {record.get("gid"): record for record in before["apps"] if record.get("gid") is not None}
    taken = []
    for record in now["apps"]:
        last = old.get(record.get("gid"), {})
        taken.append((record, last, record.get("cpu_us", 0) - last.get("cpu_us", 0)))
    # The uptime is asked for a moment after the apps: what they took was there to be taken.
    span_ms = max(1, now["uptime_ms"] - before["uptime_ms"], sum(us for *_, us in taken) / 1000)
    rows = []
    for record, last, cpu_us in taken:
        messages = record.get("messages", 0) - last.get("messages", 0)
        row = {key: record.get(key) for key in ("name", "state", "uptime_ms", "messages")}
        row["restarts"] = record.get("restarts", 0)
        row["cpu"] = round(cpu_us / span_ms / 10, 1)
        row["messages_s"] = round(messages * 1000 / span_ms, 1)
        rows.append(row)
    return sorted(rows, key=lambda row: (-row["cpu"], row["name"]))


def _show(name: str, now: dict[str, Any], rows: list[dict[str, Any]], out: Output) -> None:
    if out.as_json:
        facts = {key: now[key] for key in ("uptime_ms", "free_ram", "free_flash")}
        out.json({"name": name, **facts, "apps": rows})
        return
    if sys.stdout.isatty():
        sys.stdout.write(_CLEAR)
    text = f"{name}: up {duration(now['uptime_ms'])}, {size(now['free_ram'])} of RAM free"
    out.line(f"{text}, {sum(row['cpu'] for row in rows):.1f} % of its time taken by apps")
    cells = [
        (
            row["name"],
            row["state"] or "running",
            f"{row['cpu']:5.1f}",
            f"{row['messages_s']:10.1f}",
            row["messages"] if row["messages"] is not None else 0,
            row["restarts"],
            duration(row["uptime_ms"]) if row["uptime_ms"] is not None else "-",
        )
        for row in rows
    ]
    out.table(_HEAD, cells, {1: {"failed": "red", "quarantined": "red", "waiting": "yellow"}})
    if not rows:
        out.line(paint("no apps; kod install NAME FILE puts one there", "dim"))


VERBS = {"top": (_arguments, _top)}
