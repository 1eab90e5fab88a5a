"""The options that say how an app is to run; they become the settings of its installation."""

from __future__ import annotations

import argparse
from typing import Any

from kod.cli.parse import define, duration_ms


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
    return {key: value for key, value in chosen.items() if value is not None}
