"""kod logs."""

from __future__ import annotations

import argparse
import datetime
import sys
from typing import Any

from kod.cli.devices import one
from kod.cli.output import Output, paint, printable
from kod.cli.parse import add_one_device, number
from kod.device import Device, Line
from kod.errors import NotThere

_LEVELS = {0: "dim", 2: "yellow", 3: "red"}
_NAMES = ("cyan", "magenta", "blue", "green")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="only this app's lines")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with new lines")
    parser.add_argument(
        "-n", "--lines", type=number(0), metavar="N", help="only the last N of the past"
    )
    add_one_device(parser)


def _logs(args: argparse.Namespace, out: Output) -> int:
    with one(args) as device:
        clock = Clock(device)
        past = list(device.log(args.name))
        if not past and args.name and not args.follow:
            _must_exist(device, args.name)
        for line in past[-args.lines :] if args.lines else past if args.lines is None else []:
            show(line, clock, out)
        if args.follow:
            last = past[-1].seq if past else 0
            for line in device.follow(args.name, last):
                show(line, clock, out)
    return 0


def _must_exist(device: Device, name: str) -> None:
    if name not in [record["name"] for record in device.list()]:
        raise NotThere(f"no app '{name}' on '{device.name}'; kod list shows all")


class Clock:
    """Turns the device's uptime into the time of day here."""

    def __init__(self, device: Device) -> None:
        now = datetime.datetime.now()
        self._boot = now - datetime.timedelta(milliseconds=device.about()["uptime_ms"])

    def at(self, ms: int) -> datetime.datetime:
        return self._boot + datetime.timedelta(milliseconds=ms)


def show(line: Line, clock: Clock, out: Output) -> None:
    """One line: time, app, text; the parts of a text of several lines stand below each other."""
    when = clock.at(line.ms)
    if out.as_json:
        out.json({**_json(line), "time": when.isoformat(timespec="milliseconds")})
        return
    if line.lost:
        out.line(paint(f"{'':12}  ... {line.lost} lines lost", "yellow"))
    shade = _NAMES[sum(line.app.encode()) % len(_NAMES)]
    head = f"{paint(when.strftime('%H:%M:%S.%f')[:12], 'dim')}  {paint(f'{line.app:<10}', shade)}"
    for text in printable(line.text, sys.stdout).split("\n"):
        colour = _LEVELS.get(line.level)
        out.line(f"{head}  {paint(text, colour) if colour else text}")


def _json(line: Line) -> dict[str, Any]:
    return {
        "seq": line.seq,
        "ms": line.ms,
        "level": line.level,
        "app": line.app,
        "text": line.text,
    }


VERBS = {"logs": (_arguments, _logs)}
