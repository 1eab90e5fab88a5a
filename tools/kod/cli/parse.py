"""Arguments: the overview, each verb's parser, and the options that all of them share."""

from __future__ import annotations

import argparse
import difflib
import importlib
import re
from collections.abc import Callable
from typing import Any, NoReturn

from kod.cli.output import Output
from kod.cli.verbs import VERBS
from kod.errors import BadInput
from kod.installing import check_name
from kod.reading import NestsTooDeep, from_json

_USAGE = "usage: kod [-d DEVICE] [--json] VERB ..."
_DEVICE = "name, id, address, serial port or 'sim'"
_LONGEST_MS = 3650 * 86_400_000
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        verb = self.prog.removeprefix("kod ")
        raise BadInput(f"{verb}: {message}; '{self.prog} --help' shows how")

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        """As argparse does it; but what may be given any number of times is never missing."""
        action = super().add_argument(*names, **options)
        action.required = action.required and action.nargs != "*"
        return action


def split(arguments: list[str]) -> tuple[list[str], str | None, list[str]]:
    """Options before the verb, the verb, and the rest."""
    leading: list[str] = []
    rest = list(arguments)
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if option == "--version":
            return leading, "version", rest
        leading.append(option)
        if option in ("-d", "--device") and rest:
            leading.append(rest.pop(0))
    if not rest:
        return leading, None, []
    if rest[0] == "help":
        return (leading, rest[1], ["--help"]) if len(rest) > 1 else (["--help"], None, [])
    return leading, rest[0], rest[1:]


def overview(leading: list[str]) -> int:
    """What `kod` alone or with --help says."""
    if not {"-h", "--help"} & set(leading):
        raise BadInput("a verb is missing; 'kod --help' lists them")
    print(_USAGE + "\n\nApps for devices that run Kodkod.\n")
    for name, (_, text) in VERBS.items():
        print(f"  {name:<10} {text}")
    print(
        "\n'kod VERB --help' says more. A DEVICE is a name, id, address, serial port, 'sim' or"
        "\n'host'; without -d it is the project's, the last used, or the only one there is."
    )
    return 0


def run_verb(verb: str, arguments: list[str]) -> int:
    """Parses the arguments of `verb` and runs it."""
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, 1)
        meant = f"did you mean '{near[0]}'?" if near else "'kod --help' lists them"
        raise BadInput(f"'{verb}' is no verb of kod; {meant}")
    module, text = VERBS[verb]
    add_arguments, handler = importlib.import_module(module).VERBS[verb]
    parser = Parser(prog=f"kod {verb}", description=text[0].upper() + text[1:] + ".")
    parser.add_argument("--json", action="store_true", help="output for machines, on stdout")
    add_arguments(parser)
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    args = parser.parse_intermixed_args(arguments[:cut])
    if hasattr(args, "args"):
        args.args += arguments[cut + 1 :]
    elif arguments[cut:]:
        raise BadInput(f"{verb}: takes no arguments behind --")
    out = Output(as_json=args.json)
    try:
        return handler(args, out) or 0
    finally:
        out.end_progress()


def add_device(parser: argparse.ArgumentParser) -> None:
    """-d, several times, and --all."""
    _device(parser, f"{_DEVICE}; may be given several times")
    every = "on every known device; of the simulated ones, on those that run"
    parser.add_argument("--all", action="store_true", help=every)


def add_one_device(parser: argparse.ArgumentParser) -> None:
    """-d for a verb that works on one device; several are refused where one is chosen."""
    _device(parser, _DEVICE)
    parser.add_argument("--all", action="store_true", help=argparse.SUPPRESS)


def _device(parser: argparse.ArgumentParser, text: str) -> None:
    add = parser.add_argument
    add("-d", "--device", action="append", default=[], metavar="DEVICE", help=text)


def number(least: int, what: str = "") -> Callable[[str], int]:
    """The type of an option that is a whole number from `least` up; `what` is for complaints."""
    what = what or f"number from {least} up"

    def whole(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < least:
            raise argparse.ArgumentTypeError(f"'{text}' is no {what}")
        return int(text)

    return whole


def duration_ms(text: str) -> int:
    """Milliseconds of `1500ms`, `10s`, `2m`, `1h30m`, `0.5h` or plain seconds."""
    whole = f"{text}s" if re.fullmatch(r"\d+(\.\d+)?", text) else text
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|min|s|m|h|d)", whole)
    if not parts or "".join(count + unit for count, unit in parts) != whole:
        raise argparse.ArgumentTypeError(f"'{text}' is no duration like 10s, 1500ms or 1h30m")
    ms = sum(float(count) * _UNITS[unit] for count, unit in parts)
    if ms > _LONGEST_MS:
        raise argparse.ArgumentTypeError(f"'{text}' is longer than ten years")
    return round(ms)


def heap_size(text: str) -> str:
    """A size as MicroPython's heapsize= takes it."""
    if not re.fullmatch(r"0*[1-9][0-9]*[km]?", text.lower()):
        raise argparse.ArgumentTypeError(f"'{text}' is no size like 160k or 2m")
    return text.lower()


def define(text: str) -> tuple[str, object]:
    """`key=value` with the value read as JSON when it is JSON; `key` alone is true."""
    key, equals, value = text.partition("=")
    key = key.strip()
    if not key:
        raise argparse.ArgumentTypeError(f"'{text}' has no key; write -D key=value")
    if not equals:
        return key, True
    try:
        return key, from_json(value)
    except NestsTooDeep as error:
        raise argparse.ArgumentTypeError(f"{key}: {error}") from None
    except ValueError:
        return key, value.strip()


def app_name(text: str) -> str:
    """A name that an app may be installed under."""
    try:
        return check_name(text)
    except BadInput as error:
        raise argparse.ArgumentTypeError(str(error)) from None
