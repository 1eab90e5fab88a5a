"""kod doctor: what is wrong here, and the step that mends it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kod.cli.output import Output, paint
from kod.errors import FAILED, OK, UserError

if TYPE_CHECKING:
    from kod.flash.doctor import Finding

_COLOURS = {"ok": "green", "warn": "yellow", "bad": "red"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of kod doctor."""
    parser.add_argument("-p", "--port", help="also listen to the board on this serial port")
    parser.add_argument("-d", "--device", metavar="DEVICE", help="also ask this device")


def run(args: argparse.Namespace, out: Output) -> int:
    """Looks at everything; exit code 1 when something is bad."""
    findings = []
    for finding in _findings(args):
        findings.append(finding)
        if not out.as_json:
            _show(finding, out)
    if out.as_json:
        out.json([vars(finding) for finding in findings])
    return FAILED if any(finding.state == "bad" for finding in findings) else OK


def _findings(args: argparse.Namespace) -> Iterator[Finding]:
    from kod.flash import doctor

    yield from doctor.computer()
    if args.port:
        yield doctor.console(args.port)
    if args.device:
        yield from _of_device(args.device)


def _of_device(name: str) -> Iterator[Finding]:
    from kodkod.errors import KodkodError

    from kod.device import Device
    from kod.flash import doctor

    try:
        with Device.find(name) as device:
            info = device.about()
    except (UserError, KodkodError) as error:
        text, _, step = str(error).partition("; ")
        yield doctor.Finding(doctor.BAD, name, text, step)
        return
    yield from doctor.device(info)


def _show(finding: Finding, out: Output) -> None:
    state = paint(f"{finding.state:<4}", _COLOURS[finding.state])
    out.line(f"{state}  {finding.subject}: {finding.text}")
    if finding.step:
        out.line(f"      -> {finding.step}")


VERBS = {"doctor": (add_arguments, run)}
