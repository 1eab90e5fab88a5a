"""What kod flash, setup and config have in common: which port, what a device is told of itself and
of its network, and what is said when it is up."""

from __future__ import annotations

import argparse
import getpass
import os
import re
import socket
import sys
from typing import Any

from kod import config, person
from kod.cli.output import Output
from kod.errors import BadInput, NotThere

_WAIT_S = 60.0
_ANSWER_S = 3.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """What goes into a device's settings."""
    add = parser.add_argument
    add("--name", help="the device's name (default: one is made up)")
    add("--wifi-ssid", metavar="SSID", help="the network it joins ($KOD_WIFI_SSID)")
    add("--wifi-password", metavar="PASSWORD", help="asked for if not given ($KOD_WIFI_PASSWORD)")
    add("--wifi-open", action="store_true", help="the network has no password")
    add("--no-wifi", action="store_true", help="no network: the cable alone")


def add_wait(parser: argparse.ArgumentParser) -> None:
    """How long to wait for the device."""
    parser.add_argument(
        "--wait",
        type=_seconds,
        default=_WAIT_S,
        metavar="SECONDS",
        help="how long to wait until it is up; 0: do not wait (default: %(default)g)",
    )


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d{1,6}(\.\d+)?", text):
        raise argparse.ArgumentTypeError(f"'{text}' is no number of seconds like 60")
    return float(text)


def check(args: argparse.Namespace) -> None:
    """What no device could have, and contradictions among the --wifi options."""
    from kod.flash import plan

    if args.name is not None:
        config.check_name(args.name, config.WORDS)
    if args.wifi_ssid is not None:
        plan.check_wifi(args.wifi_ssid, "")
    if args.no_wifi and (args.wifi_ssid or args.wifi_password or args.wifi_open):
        raise BadInput("--no-wifi and the other --wifi options exclude each other")
    if args.wifi_open and args.wifi_password:
        raise BadInput("--wifi-open and --wifi-password exclude each other")
    named = args.wifi_ssid or os.environ.get("KOD_WIFI_SSID")
    if (args.wifi_password or args.wifi_open) and not named:
        option = "--wifi-password" if args.wifi_password else "--wifi-open"
        raise BadInput(f"{option} needs --wifi-ssid")


def wifi_of(args: argparse.Namespace, ask: bool) -> list[list[str]] | None:
    """The networks to put into the settings; None: nothing was said of any."""
    if args.no_wifi:
        return []
    ssid = args.wifi_ssid or os.environ.get("KOD_WIFI_SSID")
    if not ssid and person.may_ask() and ask:
        print("Wi-Fi network (SSID; empty: none): ", end="", file=sys.stderr, flush=True)
        ssid = sys.stdin.readline().strip()
    if not ssid:
        return None
    return [[ssid, password_of(ssid, args.wifi_password, args.wifi_open, "wifi-")]]


def password_of(ssid: str, given: str | None, is_open: bool, prefix: str = "") -> str:
    """The password of a network, "" for an open one: as given, from the environment, or asked
    for. `prefix` is what the options --password and --open begin with."""
    from kod.flash.plan import check_wifi

    password = "" if is_open and not given else given
    if password is None:
        password = os.environ.get("KOD_WIFI_PASSWORD")
    if password is None:
        if not person.may_ask():
            raise BadInput(
                f"the password of '{ssid}' is missing: --{prefix}password, or --{prefix}open when "
                "the network has none"
            )
        try:
            password = getpass.getpass(f"Password of '{ssid}' (empty: open network): ")
        except EOFError:  # Ctrl-D
            raise KeyboardInterrupt from None
    check_wifi(ssid, password)
    return password


def name_before(port: str) -> str | None:
    """A board that is flashed again at the same port keeps its name."""
    return next((known.name for known in config.devices() if known.console == port), None)


def renewed(
    before: dict[str, Any], args: argparse.Namespace, wifi: list[list[str]] | None
) -> dict[str, Any]:
    """The settings of before with what was said now; a new network comes first."""
    from kod.flash import plan

    settings = dict(before)
    if args.name:
        settings["name"] = args.name
    if wifi is not None:
        names = [ssid for ssid, _ in wifi]
        others = [one for one in settings.get("wifi", []) if one[0] not in names]
        settings["wifi"] = [] if args.no_wifi else wifi + others
    return plan.checked_settings(settings)


def choose_port(args: argparse.Namespace, out: Output) -> str:
    """The port to use; asks when there is a real choice and a terminal."""
    from kod.flash import ports

    if not args.port and person.may_ask():
        found = ports.likely_ports()
        if len(found) > 1 and not ports.chosen():
            shown = [f"{one.device}  {one.description}" for one in found]
            port = person.pick("which port?", found, shown)
            if port is None:
                raise NotThere("no port was chosen")
            return port.device
    return ports.choose(args.port)


def remark(known: config.Known, wifi: bool) -> str:
    """What a person should know of a device that is up."""
    if not wifi:
        return ""
    if not known.host:
        return "not in the Wi-Fi yet; are its name and password right?"
    try:
        with socket.create_connection((known.host, known.port), _ANSWER_S):
            return ""
    except OSError:
        return "it does not answer to this computer; are both in the same network?"
