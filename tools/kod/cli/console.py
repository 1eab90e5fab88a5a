"""kod repl and kod monitor: a person at a device's console, or watching it."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from kod import choose, simulated
from kod.cli.output import Output, paint
from kod.cli.parse import add_one_device
from kod.errors import BadInput, NotThere

if TYPE_CHECKING:
    from kod.device import Device

_BACK_S = 60.0  # a device that restarts is waited for so long


def _repl(args: argparse.Namespace, out: Output) -> int:
    from kod import mpremote_api

    if out.as_json:
        raise BadInput("repl: a prompt is for a person; mpremote exec runs code for a machine")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise BadInput("repl: needs a terminal; mpremote exec and mpremote run work without one")
    port = _port(args)
    out.note(f"console {port}; Ctrl-] or Ctrl-X leaves, the apps go on")
    mpremote_api.prompt(port)
    out.note("")
    return 0


def _port(args: argparse.Namespace) -> str:
    """The serial port of the device that is meant."""
    if not args.device and not args.all:
        from kod.flash import ports

        if chosen := ports.chosen():
            return chosen
    target = _target(args)
    if target.console:
        return target.console
    known = target.known
    if known.is_simulated:
        run = simulated.running(known.folder)
        if run is None:
            raise choose.not_there(known)
        return str(run["console"])
    if known.console:
        return known.console
    raise NotThere(
        f"no serial port is known for '{target.label}'; plug it in and name the port: -d PORT"
    )


def _target(args: argparse.Namespace) -> choose.Target:
    targets = choose.targets(args.device, args.all)
    if len(targets) > 1:
        raise BadInput("this works on one device at a time; give one -d")
    return targets[0]


def _monitor(args: argparse.Namespace, out: Output) -> int:
    from kod.device import Device

    target = _target(args)
    if target.console and not out.as_json:
        return _listen(target.console, out)
    with Device.connect(target) as device:
        _follow(device, out)
    return 0


def _listen(port: str, out: Output) -> int:
    """Everything that a console says, boot messages too; nothing is sent to it."""
    from kod.errors import Unreachable
    from kod.flash import ports

    console = ports.open_console(port)
    out.note(f"listening at {port}; Ctrl-C ends it")
    try:
        while True:
            data = bytes(console.read(max(1, console.in_waiting)))
            os.write(sys.stdout.fileno(), data)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise Unreachable(f"{port} is gone: {error}") from None
    finally:
        console.close()


def _follow(device: Device, out: Output) -> None:
    """The lines of all apps from now on, also over restarts of the device."""
    from kod.cli.logs import Clock, show
    from kod.link import LinkLost

    clock = Clock(device)
    since = max((line.seq for line in device.log()), default=0)
    out.note(f"lines of '{device.name}' from now on; Ctrl-C ends it")
    while True:
        try:
            for line in device.follow(None, since):
                show(line, clock, out)
                since = line.seq
            return
        except LinkLost as error:
            out.note(paint(f"{error}; waiting for '{device.name}'", "yellow", sys.stderr))
        device.reconnect(_BACK_S)
        clock = Clock(device)
        newest = max((line.seq for line in device.log()), default=0)
        if newest < since:  # it has restarted: its lines count from 1 again
            since = 0


VERBS = {"repl": (add_one_device, _repl), "monitor": (add_one_device, _monitor)}
