"""kod services and kod call."""

from __future__ import annotations

import argparse
import re
from typing import Any

from kod.cli.devices import each
from kod.cli.output import Output
from kod.cli.parse import add_device, duration_ms
from kod.device import Device
from kod.errors import BadInput
from kod.reading import NestsTooDeep, from_json

_INDEX = re.compile(r"[0-9]{1,9}")


def _services(args: argparse.Namespace, out: Output) -> int:
    def show(device: Device) -> Any:
        listing = device.services()
        if not out.as_json:
            _table(listing, out)
        return listing

    return each(args, out, show)


def _table(listing: list[dict[str, Any]], out: Output) -> None:
    rows = [
        (
            one["name"],
            ".".join(map(str, one["version"])),
            one.get("app") or "-",
            one.get("clients", 0),
            one["uuid"],
        )
        for one in sorted(listing, key=lambda one: (one["name"], one["uuid"]))
    ]
    out.table(("SERVICE", "VERSION", "APP", "CLIENTS", "UUID"), rows)


def _call_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("service", help="name or uuid")
    parser.add_argument("method", help="a method's name, or its index")
    parser.add_argument("args", nargs="*", help="values as JSON; what is no JSON is taken as text")
    parser.add_argument("--timeout", type=duration_ms, default=10_000, metavar="TIME")
    add_device(parser)


def _call(args: argparse.Namespace, out: Output) -> int:
    method: int | str = int(args.method) if _INDEX.fullmatch(args.method) else args.method
    values = [_value(text) for text in args.args]
    # A method by index takes its one argument as it is, one by name takes a list of them.
    what = values if isinstance(method, str) or len(values) > 1 else values[0] if values else None

    def call(device: Device) -> Any:
        result = device.call(args.service, method, what, timeout_ms=args.timeout)
        if not out.as_json:
            out.json(result)
        return result

    return each(args, out, call)


def _value(text: str) -> Any:
    try:
        return from_json(text)
    except NestsTooDeep as error:
        raise BadInput(f"call: an argument cannot be sent: {error}") from None
    except ValueError:
        return text


VERBS = {"services": (add_device, _services), "call": (_call_arguments, _call)}
