"""kod install."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from kod.cli.build import add_build, prepared
from kod.cli.devices import each
from kod.cli.output import Output, paint, size
from kod.cli.parse import add_device, app_name, duration_ms
from kod.cli.settings import add_settings, settings_of
from kod.device import Device


def _arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("name", type=app_name, help="the name that it gets on the device")
    add("file", type=Path, help="the program, or an image made by kod build")
    add("args", nargs="*", help="arguments for its main; behind -- also those that begin with -")
    add_settings(parser)
    add_build(parser)
    trial = parser.add_mutually_exclusive_group()
    trial.add_argument(
        "--probation",
        type=duration_ms,
        metavar="TIME",
        help="go back to the old version when the new one fails within TIME (default: 10s)",
    )
    trial.add_argument("--no-probation", action="store_true", help="never go back")
    add("--force", action="store_true", help="no room for both: remove the old version first")
    add("--no-wait", action="store_true", help="do not wait whether the new version works")
    add_device(parser)


def _install(args: argparse.Namespace, out: Output) -> int:
    image_for = prepared(args, out)
    settings = settings_of(args)
    if args.no_probation or args.probation is not None:
        settings["probation_ms"] = args.probation or 0

    def install(device: Device) -> Any:
        text = f"'{args.name}' to '{device.name}'"
        done = device.install(
            args.name,
            image_for(device),
            settings,
            wait=not args.no_wait,
            force=args.force,
            progress=lambda sent, total: out.progress(text, sent, total),
        )
        out.end_progress()
        if done.unchanged:
            what = "runs already, with the same image and settings: nothing sent, nothing changed"
        else:
            verb = "replaced" if done.replaced else "installed"
            sent = f"sent {size(done.sent)}" if done.sent else "the device had the image: 0 B sent"
            what = f"{verb} on '{device.name}' ({sent}, {done.seconds:.2f} s)"
        out.note(f"{paint(args.name, 'green', sys.stderr)} {what}")
        return vars(done)

    return each(args, out, install)


VERBS = {"install": (_arguments, _install)}
