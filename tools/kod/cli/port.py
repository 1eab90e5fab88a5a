"""kod port: the serial ports, and the one that is used when nobody says which."""

from __future__ import annotations

import argparse

from kod import config
from kod.cli.output import Output
from kod.errors import BadInput


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of kod port."""
    add = parser.add_argument
    add("action", nargs="?", choices=("set", "clear"), help="choose a port, or choose none")
    add("port", nargs="?", help="the port to use from now on: a name or a pyserial URL")
    add("--all", action="store_true", help="also those that no board seems to be at")


def run(args: argparse.Namespace, out: Output) -> int:
    """Lists, or chooses."""
    if args.action == "set":
        return _set(args.port, out)
    if args.action == "clear":
        from kod.flash import ports

        ports.set_chosen(None)
        return _chosen(None, out)
    return _list(args.all, out)


def _set(port: str | None, out: Output) -> int:
    from kod.flash import ports

    if not port:
        raise BadInput("port: say which, as in kod port set /dev/ttyUSB0")
    error = ports.probe(port)
    if error:
        raise error
    ports.set_chosen(port)
    out.note(f"kod flash and kod setup use {port} from now on")
    return _chosen(port, out)


def _chosen(port: str | None, out: Output) -> int:
    if out.as_json:
        out.json({"chosen": port})
    return 0


def _list(every: bool, out: Output) -> int:
    from kod.flash import ports

    found = ports.all_ports() if every else ports.likely_ports()
    chosen = ports.chosen()
    names = {known.console: known.name for known in config.devices() if known.console}
    if out.as_json:
        out.json(
            [
                {
                    "port": port.device,
                    "description": port.description,
                    "vendor": port.vendor,
                    "serial_number": port.serial_number,
                    "device": names.get(port.device, ""),
                    "chosen": port.device == chosen,
                }
                for port in found
            ]
        )
        return 0
    if found:
        out.table(
            ("PORT", "", "DEVICE", "WHAT"),
            [
                (
                    port.device,
                    "*" if port.device == chosen else "",
                    names.get(port.device, ""),
                    port.description,
                )
                for port in found
            ],
        )
    else:
        out.note("no board is seen on any serial port; kod doctor says what may be missing")
    if chosen and chosen not in [port.device for port in found]:
        out.note(f"chosen: {chosen}")
    return 0


VERBS = {"port": (add_arguments, run)}
