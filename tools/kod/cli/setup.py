"""kod setup: the library on a device that already runs MicroPython, by cable or over a link."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kod import choose, config
from kod.cli import device_options
from kod.cli.output import Output
from kod.errors import BadInput, Unreachable, UserError

if TYPE_CHECKING:
    from kod.flash.wait import Heard
    from kod.setup_device import Setup


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of kod setup."""
    add = parser.add_argument
    what = "serial port or URL (default: the only one), or a known device"
    add("where", nargs="?", metavar="PORT", help=what)
    add("-p", "--port", help="serial port or URL")
    add(
        "-d",
        "--device",
        metavar="DEVICE",
        help="a known device: by its cable, or else over the network",
    )
    device_options.add_options(parser)
    add("--force", action="store_true", help="replace a boot.py or main.py of somebody else")
    device_options.add_wait(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Sets up, or renews, the library."""
    from kod.flash import plan
    from kod.mpremote_api import Repl
    from kod.setup_device import Setup, changed

    device_options.check(args)
    if args.where in {name for one in config.devices() for name in (one.name, one.id)}:
        args.device = args.device or args.where
    else:
        args.port = args.port or args.where
    if args.device and args.port:
        raise BadInput("-d and a port exclude each other")
    target = choose.target(args.device) if args.device else None
    port = _port(target) if target else device_options.choose_port(args, out)
    if target and not port:
        return _over_link(args, target, out)
    with Repl(port) as repl:
        out.note(f"asking for a prompt on {port}")
        repl.enter()
        work = Setup(repl, out.progress)
        info = work.begin()
        version = ".".join(str(part) for part in info.version)
        out.note(f"MicroPython {version}, {info.board or info.platform}")
        files = plan.device_files(info.platform)
        strangers = work.strangers()
        if strangers and not args.force:
            raise UserError(
                f"the device has a {' and a '.join(strangers)} of its own, which would be "
                "replaced; save what you need (mpremote fs cp), then add --force"
            )
        before = work.settings()
        settings = _settings(args, before, port)
        there = work.there()
        renewed = changed(files, there)
        if renewed:
            sent = work.stage(files, there, info.free_flash)
            work.verify(files)
            out.note(f"{len(files)} files in place and verified, {sent} bytes sent")
        if settings != before:
            work.write_settings(settings)
        if renewed:
            work.switch()
            if not info.is_running:  # there, an import would give the library that runs
                work.try_import()
        known = _remember(settings, port, info.board)
        if not renewed and settings == before:
            out.note("the library is up to date")
        work.restart()
    if args.wait <= 0:
        return _done(known, out, renewed, "not waited for")
    return _wait(args, known, settings, port, renewed, out)


def _port(target: choose.Target) -> str:
    """Where the cable of a known device is plugged in; "" when it is not."""
    from kod.flash import ports

    console = target.console or target.known.console
    there = console and (target.console or not target.known.host or not ports.probe(console))
    return console if there else ""


def _over_link(args: argparse.Namespace, target: choose.Target, out: Output) -> int:
    """Renews the library of a device that runs Kodkod and is reached over the network."""
    from kod import renewing
    from kod.device import Device

    if args.name or args.wifi_ssid or args.no_wifi or args.wifi_open:
        raise BadInput(
            "over a link kod setup renews the library alone; kod config wifi changes its "
            "networks, and for a new name give --port"
        )
    if args.wait <= 0:
        raise BadInput("over a link a new library stays only if kod finds it well: --wait 60")
    with Device.connect(target) as device:
        out.note(f"asking '{device.name}' at {device.address} what it has")
        sent = renewing.renew(device, out.progress)
        if sent is None:
            out.note("the library is up to date")
        else:
            out.note(f"{sent} bytes sent and verified; '{device.name}' restarts with them")
            renewing.try_out(device, args.wait)
        return _done(device.known, out, sent is not None, "")


def _settings(
    args: argparse.Namespace, before: dict[str, Any] | None, port: str
) -> dict[str, Any]:
    """The settings: those on the device with what is new, or those of a new device."""
    from kod.flash import plan

    wifi = device_options.wifi_of(args, ask=before is None)
    if before is None:
        return plan.new_settings(args.name or device_options.name_before(port), wifi or [])
    return device_options.renewed(before, args, wifi)


def _remember(settings: dict[str, Any], port: str, board: str) -> config.Known:
    before = config.by_id(settings["id"]) or config.Known(id=settings["id"], name="")
    known = replace(
        before,
        name=settings["name"],
        key=settings["key"],
        port=before.port or settings["port"],
        console="" if before.is_simulated else port,
        chip=before.chip or board.rpartition(" with ")[2],
    )
    config.remember(known)
    config.set_last_used(known.id)
    return known


def _wait(
    args: argparse.Namespace,
    known: config.Known,
    settings: dict[str, Any],
    port: str,
    renewed: bool,
    out: Output,
) -> int:
    from kod.flash import wait

    wifi = bool(settings["wifi"])
    out.note(f"waiting until '{known.name}' is up")
    heard = wait.wait(port, known, wifi=wifi, seconds=args.wait, say=out.note, renewed=renewed)
    if not heard.up:
        raise _not_up(known, port, renewed, heard, out)
    if heard.host:
        known = replace(known, host=heard.host, port=heard.port or known.port)
        config.remember(known)
    if renewed:
        _forget_old(port, out)
    return _done(known, out, renewed, device_options.remark(known, wifi))


def _not_up(known: config.Known, port: str, renewed: bool, heard: Heard, out: Output) -> UserError:
    """Puts the library of before back, and says what happened."""
    shown = "\n".join(heard.lines[-20:])
    why = heard.trouble or _silence(heard)
    if not renewed:
        return Unreachable(f"'{known.name}' did not come up: {why}; press EN (RST)")
    try:
        with _again(port) as work:
            work.roll_back()
            work.restart()
    except UserError as error:
        return UserError(
            f"'{known.name}' did not come up with the new library ({why}), and the one before "
            f"could not be put back: {error}; press EN (RST) and run kod setup again",
            detail=shown,
        )
    return UserError(
        f"'{known.name}' did not come up with the new library ({why}); the one before is back",
        detail=shown,
    )


def _silence(heard: Heard) -> str:
    if heard.prompt:
        return "it shows a prompt"
    return "it says nothing more" if heard.anything else "it says nothing"


def _forget_old(port: str, out: Output) -> None:
    """Removes what was kept; if the running device gives no prompt, the next setup does it."""
    try:
        with _again(port) as work:
            work.forget_old()
    except UserError:
        out.note("the library of before stays in /lib.old until the next kod setup")


@contextlib.contextmanager
def _again(port: str) -> Iterator[Setup]:
    """The device's raw REPL with the functions of a setup, anew."""
    from kod.mpremote_api import Repl
    from kod.setup_device import Setup

    with Repl(port) as repl:
        repl.enter()
        work = Setup(repl)
        work.send_functions()
        yield work


def _done(known: config.Known, out: Output, renewed: bool, remark: str) -> int:
    if out.as_json:
        out.json(
            {
                "name": known.name,
                "id": known.id,
                "host": known.host,
                "port": known.port,
                "console": known.console,
                "renewed": renewed,
                "remark": remark,
            }
        )
        return 0
    where = f"{known.host}:{known.port}" if known.host else known.console
    out.line(f"{known.name} ({known.id}) at {where}" + (f": {remark}" if remark else ""))
    out.note(f"next: kod install NAME FILE.py -d {known.name}")
    return 0


VERBS = {"setup": (add_arguments, run)}
