"""kod run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from kod.cli.build import add_build, built, prepared
from kod.cli.devices import on_host, one
from kod.cli.output import Output, paint
from kod.cli.parse import add_device, heap_size
from kod.cli.settings import define_option, limits, settings_of
from kod.errors import BadInput, Unreachable


def _arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("file", type=Path, help="the program, or an image made by kod build")
    add("args", nargs="*", help="arguments for its main; behind -- also those that begin with -")
    limits(parser)
    define_option(parser)
    add_build(parser)
    add("--detach", action="store_true", help="leave it running and return")
    add("--heap", type=heap_size, help="size of the heap with -d host, as 160k or 2m")
    add_device(parser)


def _run(args: argparse.Namespace, out: Output) -> int:
    settings = settings_of(args)
    if on_host(args):
        from kod import host

        if args.detach:
            raise BadInput("--detach is for devices")
        return host.run(built(args, out, host.build), settings, args.heap, out.as_json)
    if args.heap:
        raise BadInput("--heap is for -d host: a device has the heap that it has")
    image_for = prepared(args, out)
    if args.detach:
        settings["detach"] = True
    with one(args) as device:
        text = f"{args.file.name} to '{device.name}'"
        run = device.run(
            image_for(device),
            settings,
            progress=lambda sent, total: out.progress(text, sent, total),
        )
        out.end_progress()
        if args.detach:
            out.note(f"{args.file.name} runs on '{device.name}' until the device restarts")
            return 0
        out.note(f"{args.file.name} runs on '{device.name}'; Ctrl-C stops it")
        with run:
            lost = 0  # of its lines, that were told
            for ms, level, line in run.lines():
                if run.lost > lost:
                    out.note(paint(f"... {run.lost - lost} lines lost", "yellow", sys.stderr))
                    lost = run.lost
                if out.as_json:
                    out.json({"ms": ms, "level": level, "text": line})
                else:
                    out.line(paint(line, "red") if level == 3 else line)
    if run.code is None:
        raise Unreachable(f"'{device.name}' does not say how {args.file.name} has ended")
    if run.reason != "ended":
        out.note(f"kod: {args.file.name} {run.reason} (code {run.code})")
    return run.code


VERBS = {"run": (_arguments, _run)}
