"""The options that say how an app is to run; they become the settings of its installation."""

from __future__ import annotations

import argparse
from typing import Any

from kod.cli.parse import define, duration_ms


def add_settings(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--interval", type=duration_ms, metavar="TIME", help="start it anew every TIME (10s, 5m)")
    add("--timeout", type=duration_ms, metavar="TIME", help="stop it after TIME")
    add("--limit", type=duration_ms, metavar="TIME", help="longest step before it is a runaway")
    add(
        "--restart",
        choices=("never", "on-failure", "always"),
        help="what happens when it ends (default: on-failure)",
    )
    add("--after", action="append", metavar="NAME", help="start it after this app at boot")
    add(
        "-D",
        "--define",
        action="append",
        type=define,
        metavar="KEY=VALUE",
        help="a value for kodkod.defines()",
    )


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """Only what was given: the device has the defaults."""
    chosen = {
        "interval_ms": args.interval,
        "timeout_ms": args.timeout,
        "limit_ms": args.limit,
        "restart": args.restart,
        "after": args.after,
        "defines": dict(args.define) if args.define else None,
    }
    return {key: value for key, value in chosen.items() if value is not None}
