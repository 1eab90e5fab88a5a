"""kod build, and how install and run build what they send."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from kod import reading
from kod.cli.output import Output, paint, size
from kod.errors import BadInput

if TYPE_CHECKING:
    from kod.build import Image
    from kod.device import Device

    Build = Callable[..., Image]

_SUFFIX = ".kod"


def add_build(parser: argparse.ArgumentParser) -> None:
    """The options that change the image."""
    add = parser.add_argument
    add("--assets", type=Path, metavar="DIR", help="a folder whose files go along")
    add("--source", action="store_true", help="send .py files; the device compiles them")


def built(args: argparse.Namespace, out: Output, build: Build | None = None) -> Image:
    """The image of `args.file`: built from a program, or read from what kod build made."""
    from kod.build import build_image, read_image

    if args.file.suffix == _SUFFIX:
        if args.assets or args.source:
            raise BadInput(f"{args.file} is built already: --assets and --source come too late")
        return read_image(_bytes(args.file), str(args.file))
    image = (build or build_image)(args.file, assets=args.assets, source=args.source)
    for warning in image.warnings:
        out.note(f"{paint('warning:', 'yellow', sys.stderr)} {warning}")
    return image


def prepared(args: argparse.Namespace, out: Output) -> Callable[[Device], Image]:
    """What gives the image for a device; what is wrong on every device is refused here."""
    from kod.build import build_image
    from kod.build.device import AnyDevice

    if args.file.suffix == _SUFFIX:
        image = built(args, out)
        return lambda device: image
    build_image(args.file, assets=args.assets, source=args.source, builtins=AnyDevice())
    return lambda device: built(args, out, device.build)


def _bytes(path: Path) -> bytes:
    try:
        return reading.content(path)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="the program")
    parser.add_argument("-o", "--output", type=Path, help=f"the image (default: FILE{_SUFFIX})")
    add_build(parser)


def _build(args: argparse.Namespace, out: Output) -> None:
    image = built(args, out)
    target = args.output or args.file.with_suffix(_SUFFIX)
    try:
        target.write_bytes(image.data)
    except OSError as error:
        raise BadInput(f"{target} cannot be written: {error.strerror}") from None
    if out.as_json:
        shown = {"id": image.id, "size": len(image.data), "path": str(target)}
        out.json({**shown, "manifest": image.manifest, "warnings": image.warnings})
        return
    out.line(f"{target}: {size(len(image.data))}, id {image.id[:12]}")
    for name, data in image.files.items():
        out.line(f"  {name:<32} {size(len(data)):>9}")


VERBS = {"build": (_arguments, _build)}
