"""The options that say how an app is to run; they become the settings of its installation."""

from __future__ import annotations

import argparse
from typing import Any

from kod.cli.parse import define, duration_ms
from kod.errors import BadInput

_MOST = 1500  # what a device takes: it is told in one message beside a traceback


def add_settings(parser: argparse.ArgumentParser) -> None:
    """How an installed app runs."""
    add = parser.add_argument
    add("--interval", type=duration_ms, metavar="TIME", help="start it anew every TIME (10s, 5m)")
    limits(parser)
    add(
        "--restart",
        choices=("never", "on-failure", "always"),
        help="what happens when it ends (default: on-failure)",
    )
    add("--after", action="append", metavar="NAME", help="start it after this app at boot")
    define_option(parser)


def limits(parser: argparse.ArgumentParser) -> None:
    """Bounds in time, also for what only runs for the moment."""
    add = parser.add_argument
    add("--timeout", type=duration_ms, metavar="TIME", help="stop it after TIME")
    add("--limit", type=duration_ms, metavar="TIME", help="longest step before it is a runaway")


def define_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-D",
        "--define",
        action="append",
        type=define,
        metavar="KEY=VALUE",
        help="a value in the app's kodkod.defines",
    )


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """Only what was given: the device has the defaults."""
    chosen = {
        "interval_ms": getattr(args, "interval", None),
        "timeout_ms": args.timeout,
        "limit_ms": args.limit,
        "restart": getattr(args, "restart", None),
        "after": getattr(args, "after", None),
        "defines": dict(args.define) if args.define else None,
    }
    given = {key: value for key, value in chosen.items() if value is not None}
    _check_size(given)
    if getattr(args, "args", None):
        given["args"] = args.args
    return given


def _check_size(settings: dict[str, Any]) -> None:
    from kodkod import message
    from kodkod.errors import TooLarge

    try:
        message.pack(settings, _MOST)
    except TooLarge:
        raise BadInput(
            f"settings may take {_MOST} bytes: put what is long into a file, --assets brings it"
        ) from None
