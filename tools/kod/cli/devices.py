"""Devices: those known, those in the network, and how a verb reaches one or several."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

from kod import choose, config, discover
from kod.cli.mistakes import tell
from kod.cli.output import Output, paint
from kod.cli.parse import add_device, duration_ms, number
from kod.device import Device
from kod.errors import BadInput, NotThere


def each(args: argparse.Namespace, out: Output, action: Callable[[Device], Any]) -> int:
    """Runs `action` on the device meant, or on each of several; JSON is what it returns."""
    targets = choose.targets(args.device, args.all)
    if len(targets) == 1 and not args.all:
        with Device.connect(targets[0]) as device:
            value = action(device)
        if out.as_json:
            out.json(value)
        return 0
    code = 0
    values: dict[str, Any] = {}
    for target, label in zip(targets, choose.labels(targets), strict=True):
        out.note(paint(f"{label}:", "cyan"))
        try:
            with Device.connect(target) as device:
                values[label] = action(device)
        except Exception as error:
            out.end_progress()
            failed = tell(error)
            if failed is None:
                raise
            code = code or failed["code"]
            values[label] = failed
    if out.as_json:
        out.json(values)
    return code


def one(args: argparse.Namespace) -> Device:
    """The only device of a verb that goes on for a while."""
    targets = choose.targets(args.device, args.all)
    if len(targets) > 1:
        raise BadInput("this works on one device at a time; give one -d")
    return Device.connect(targets[0])


def on_host(args: argparse.Namespace) -> bool:
    """Whether -d names this computer, for what needs no device."""
    if "host" not in args.device:
        return False
    if args.all or set(args.device) != {"host"}:
        raise BadInput("'host' is this computer: it goes with no other -d, and not with --all")
    return True


def _devices_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("what", nargs="?", choices=("add", "use", "forget"), help="add a device by its address,")
    add("name", nargs="?", help="use one by default, or forget one: name, id, HOST or HOST:PORT")
    add("--key", help="the key of the device to add: 32 hexadecimal digits")


def _devices(args: argparse.Namespace, out: Output) -> int:
    if args.what is None:
        return _show_devices(out)
    if args.name is None:
        raise BadInput(f"devices {args.what} is followed by a device")
    if args.what == "add":
        return _add(args, out)
    known = _known(args.name)
    if args.what == "use":
        config.set_last_used(known.id)
        out.note(f"'{known.name}' is used when no -d is given")
    else:
        config.forget(known)
        out.note(f"'{known.name}' ({known.id}) is forgotten, and its key with it")
    if out.as_json:
        out.json({"name": known.name, "id": known.id, "known": args.what == "use"})
    return 0


def _known(name: str) -> config.Known:
    matches = [one for one in config.devices() if name in (one.id, one.name)]
    if not matches:
        raise NotThere(f"no device '{name}' is known here; kod devices lists them")
    if len(matches) > 1:
        ids = ", ".join(one.id for one in matches)
        raise BadInput(f"{len(matches)} devices are called '{name}'; give the id: {ids}")
    return matches[0]


def _add(args: argparse.Namespace, out: Output) -> int:
    key = (args.key or "").lower()
    if not config.KEY.fullmatch(key):
        raise BadInput("--key is missing or is not 32 hexadecimal digits")
    address = choose.address(args.name) or choose.address(f"{args.name}:9190")
    if address is None:
        raise BadInput(f"'{args.name}' is no address; write HOST or HOST:PORT")
    unknown = config.Known(id="", name="", key=key, host=address[0], port=address[1])
    with Device.connect(choose.Target(unknown)) as device:
        out.note(f"'{device.name}' ({device.id}) is known now")
        if out.as_json:
            out.json({"name": device.name, "id": device.id, "address": device.address})
    return 0


def _show_devices(out: Output) -> int:
    last = config.last_used()
    running = {found.id for found in discover.simulated_here()}
    shown: list[dict[str, Any]] = [
        {
            "name": known.name,
            "id": known.id,
            "chip": known.chip,
            "address": known.address,
            "last_used": known.id == last,
            "running": known.id in running if known.is_simulated else None,
        }
        for known in config.devices()
    ]
    if out.as_json:
        out.json(shown)
    elif not shown:
        out.note("no device is known here; kod simulate starts one, kod flash makes one")
    else:
        rows = [
            (
                f"{'*' if one['last_used'] else ' '} {one['name']}",
                one["id"],
                one["chip"] or "-",
                str(one["address"] or "-") + (" (not running)" if one["running"] is False else ""),
            )
            for one in shown
        ]
        out.table(("  NAME", "ID", "CHIP", "ADDRESS"), rows)
    return 0


def _scan_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="stop at this name or id")
    parser.add_argument("--timeout", type=duration_ms, default=1500, metavar="TIME")


def _scan(args: argparse.Namespace, out: Output) -> int:
    heard = discover.scan(
        args.timeout / 1000,
        until=lambda one: bool(args.name) and args.name in (one.name, one.id),
    )
    if args.name:
        heard = [one for one in heard if args.name in (one.name, one.id)]
        if not heard:
            raise NotThere(f"no device '{args.name}' was heard; kod scan shows those that are")
    known = {one.id for one in config.devices()}
    if out.as_json:
        out.json([{**vars(one), "known": one.id in known} for one in heard])
    elif heard:
        rows = [
            (
                one.name,
                one.id,
                one.chip,
                f"{one.host}:{one.port}",
                "known" if one.id in known else "no key here",
            )
            for one in heard
        ]
        out.table(("NAME", "ID", "CHIP", "ADDRESS", ""), rows)
    if not heard:
        out.note("no device was heard; is it on, and in this network?")
    return 0


def _ping_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--count", type=number(1), default=1, help="how often")
    add_device(parser)


def _ping(args: argparse.Namespace, out: Output) -> int:
    def ping(device: Device) -> Any:
        times = []
        for _ in range(args.count):
            start = time.perf_counter()
            device.ping()
            times.append(round((time.perf_counter() - start) * 1000, 2))
            if not out.as_json:
                out.line(f"'{device.name}' at {device.address} answers: {times[-1]:.1f} ms")
        return {"name": device.name, "id": device.id, "ms": times}

    return each(args, out, ping)


def _reset(args: argparse.Namespace, out: Output) -> int:
    def reset(device: Device) -> Any:
        device.reset()
        out.note(f"'{device.name}' restarts")
        return {"name": device.name, "reset": True}

    return each(args, out, reset)


VERBS = {
    "devices": (_devices_arguments, _devices),
    "scan": (_scan_arguments, _scan),
    "ping": (_ping_arguments, _ping),
    "reset": (add_device, _reset),
}
