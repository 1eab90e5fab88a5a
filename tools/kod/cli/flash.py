"""kod flash: from a bare board to a device that answers, in one command."""

from __future__ import annotations

import argparse
import getpass
import os
import re
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kod import config
from kod.cli.output import Output
from kod.errors import BadInput, NotThere, Unreachable, UserError

if TYPE_CHECKING:
    from kod.flash.boards import Board
    from kod.flash.esp import Chip, Line
    from kod.flash.plan import Plan

_FAST = 460800  # what the USB bridges of boards carry; a URL may lead to anything: there 115200
_ROM = 115200
_WAIT_S = 60.0
_ANSWER_S = 3.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of kod flash."""
    add = parser.add_argument
    add("-p", "--port", help="serial port or pyserial URL (default: the only one there is)")
    add("--board", help="the board, when its chip alone does not tell; see --list-boards")
    add("--list-boards", action="store_true", help="show the boards that are known")
    add("--firmware", metavar="FILE|URL", help="MicroPython's .bin (default: the board's)")
    add_device_options(parser)
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--keep", action="store_true", help="keep installed apps and settings")
    group.add_argument("--erase", action="store_true", help="erase the whole flash first")
    add("--dry-run", action="store_true", help="say what would be written, touch nothing")
    add("-o", "--output", type=Path, metavar="DIR", help="write the images to DIR instead")
    add("--baud", type=_positive, help=f"speed of the line (default: {_FAST}, {_ROM} for a URL)")
    add(
        "--before",
        default="default-reset",
        choices=("default-reset", "usb-reset", "no-reset", "no-reset-no-sync"),
        help="how esptool gets the chip into its boot loader (default: %(default)s)",
    )
    add(
        "--after",
        default="hard-reset",
        choices=("hard-reset", "soft-reset", "no-reset", "watchdog-reset"),
        help="how the chip is started afterwards (default: %(default)s)",
    )
    add("--no-stub", action="store_true", help="talk to the chip's ROM alone: slower")
    add("--flash-size", metavar="SIZE", help="as 4MB, when esptool cannot find it out")
    add("--console", metavar="PORT", help="where its console is, when it is not at --port")
    add_wait(parser)


def add_device_options(parser: argparse.ArgumentParser) -> None:
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


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is no speed like 115200")
    return int(text)


def run(args: argparse.Namespace, out: Output) -> int:
    """Flashes, or says what it would write."""
    if args.list_boards:
        return _list_boards(out)
    _check(args)
    if args.dry_run or args.output:
        return _offline(args, out)
    return _flash(args, out)


def _list_boards(out: Output) -> int:
    from kod.flash import boards

    found = boards.all_boards()
    if out.as_json:
        out.json(
            [
                {
                    "name": board.name,
                    "vendor": board.vendor,
                    "product": board.product,
                    "chip": board.chip,
                    "flash_size": board.flash_size,
                    "default": board.default,
                    "firmware": board.firmware_url,
                    "notes": board.notes,
                }
                for board in found
            ]
        )
        return 0
    out.table(
        ("BOARD", "CHIP", "FLASH", "FIRMWARE", "FOR"),
        [
            (
                board.name + (" *" if board.default else ""),
                board.chip_label,
                boards.size_text(board.flash_size),
                board.firmware_version,
                f"{board.product} ({board.vendor})",
            )
            for board in found
        ],
    )
    out.note("* is taken for its chip when nobody chooses")
    return 0


def _check(args: argparse.Namespace) -> None:
    """Contradictions, before anything is asked for or touched."""
    from kod.flash import boards, firmware

    check_device_options(args)
    if args.flash_size:
        boards.size_in_bytes(args.flash_size)
    if args.firmware:
        firmware.chip_of(args.firmware)
    if args.keep and (args.dry_run or args.output):
        raise BadInput("--keep needs the board: what it keeps is on it")


def check_device_options(args: argparse.Namespace) -> None:
    """What no device could have, and contradictions among the --wifi options."""
    from kod.flash import plan

    if args.name is not None:
        plan.check_name(args.name)
    if args.wifi_ssid is not None:
        plan.check_wifi(args.wifi_ssid, "")
    if args.no_wifi and (args.wifi_ssid or args.wifi_password or args.wifi_open):
        raise BadInput("--no-wifi and the other --wifi options exclude each other")
    if args.wifi_open and args.wifi_password:
        raise BadInput("--wifi-open and --wifi-password exclude each other")
    if args.wifi_password and not (args.wifi_ssid or os.environ.get("KOD_WIFI_SSID")):
        raise BadInput("--wifi-password needs --wifi-ssid")


# --- what is written -------------------------------------------------------------------------


def wifi_of(args: argparse.Namespace, ask: bool) -> list[list[str]] | None:
    """The networks to put into the settings; None: nothing was said of any."""

    if args.no_wifi:
        return []
    ssid = args.wifi_ssid or os.environ.get("KOD_WIFI_SSID")
    if not ssid and _may_ask() and ask:
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
        if not _may_ask():
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


def _may_ask() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _board(args: argparse.Namespace, chip: str | None, out: Output) -> Board:
    """The board: named, else the default one of the chip; asks when there is a real choice."""
    from kod.flash import boards, firmware

    if args.board:
        return boards.by_name(args.board)
    of_file = firmware.chip_of(args.firmware) if args.firmware else None
    if chip is None:
        chip = of_file
    if chip is None:
        raise BadInput("say which --board (kod flash --list-boards) or give a --firmware file")
    choices = boards.for_chip(chip)
    if not choices:
        raise UserError(f"kod knows no board with a {boards.CHIPS[chip][0]}")
    if args.firmware:
        return choices[0]  # the file says the rest
    named = [board for board in choices if board.default]
    if len(choices) > 1 and sys.stdin.isatty() and sys.stderr.isatty():
        return _ask_board(choices)
    out.note(f"board {named[0].name}; another one: --board")
    return named[0]


def _ask_board(choices: list[Board]) -> Board:
    for number, board in enumerate(choices, 1):
        print(f"  {number}  {board.name:<24} {board.product}", file=sys.stderr)
    print("which board? [1] ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline().strip() or "1"
    if not answer.isdigit() or not 1 <= int(answer) <= len(choices):
        raise BadInput("none was chosen; --board names one")
    return choices[int(answer) - 1]


def _offline(args: argparse.Namespace, out: Output) -> int:
    """--dry-run and -o: no board is touched."""
    from kod.flash import boards, esp, firmware, plan

    board = _board(args, None, out)
    size = boards.size_in_bytes(args.flash_size) if args.flash_size else board.flash_size
    settings = plan.new_settings(args.name, wifi_of(args, ask=not args.dry_run) or [])
    made = plan.make(
        board, firmware.load(board, args.firmware, out.note), size, settings, erase=args.erase
    )
    line = _line(args, args.port or "PORT")
    paths = []
    if args.output:
        paths = plan.save(made, args.output)
        _remember_images(made)
    if out.as_json:
        out.json({**made.as_json(), "files": [str(path) for path in paths]})
        return 0
    for text in made.lines():
        out.line(text)
    if paths:
        out.line(f"files     {', '.join(str(path) for path in paths)}")
        whole = [
            replace(made.pieces[0], name=str(paths[0])[:-4]),
            plan.Piece(str(paths[1])[:-4], made.vfs.offset, made.image),
        ]
        out.line(f"by hand   {esp.write_command(line, board.chip, whole, erase=args.erase)}")
        out.note(f"nothing was flashed; '{settings['name']}' and its key are remembered")
    else:
        command = esp.write_command(line, board.chip, made.pieces, erase=args.erase)
        out.line(f"command   {command}")
        out.note("nothing was written (--dry-run)")
    return 0


def _remember_images(made: Plan) -> None:
    """The images hold a key that nobody else has; those of the same name before them are void."""
    for other in config.devices():
        if other.name == made.known.name and not (other.host or other.console or other.folder):
            config.forget(other)
    config.remember(made.known)


# --- flashing --------------------------------------------------------------------------------


def _line(args: argparse.Namespace, port: str) -> Line:
    from kod.flash import esp, ports

    baud = args.baud or (_ROM if ports.is_url(port) else _FAST)
    return esp.Line(port, baud, args.before, args.after, not args.no_stub)


def _flash(args: argparse.Namespace, out: Output) -> int:
    from kod.flash import boards, esp, firmware, plan

    wanted = boards.by_name(args.board) if args.board else None  # a typing error shows at once
    port = choose_port(args, out)
    line = _line(args, port)
    wifi = wifi_of(args, ask=not args.keep)
    out.note(f"looking at the chip on {port}")
    try:
        chip = esp.detect(line)
    except esp.StubFailed:
        out.note("esptool's helper does not start there: the chip's ROM has to do (slower)")
        line = replace(line, stub=False)
        chip = esp.detect(line)
    size = _flash_size(args, chip)
    out.note(f"{boards.CHIPS[chip.name][0]} ({chip.mac}), {boards.size_text(size)} of flash")
    if wanted and wanted.chip != chip.name:
        raise UserError(
            f"the board on {port} has an {boards.CHIPS[chip.name][0]}, {wanted.name} has an "
            f"{wanted.chip_label}; name another --board (kod flash --list-boards)"
        )
    board = wanted or _board(args, chip.name, out)
    loaded = firmware.load(board, args.firmware, out.note)
    before, settings = None, None
    if args.keep:
        before, settings = _kept(args, line, chip, board, loaded.partitions, size, wifi, out)
    if settings is None:
        settings = plan.new_settings(args.name or name_before(args.console or port), wifi or [])
    made = plan.make(board, loaded, size, settings, before=before, erase=args.erase)
    for text in made.lines():
        out.note(text)
    config.check_writable()
    total = sum(len(piece.data) for piece in made.pieces)
    out.note(f"writing {total >> 10} KB at {line.baud} baud")
    try:
        esp.write(line, chip.name, made.pieces, erase=args.erase, progress=progress(out))
    except KeyboardInterrupt:
        out.note(f"the flash of the board on {port} is half written: run the command again")
        raise
    console = args.console or port
    known = _remember(made, console)
    out.note("written and verified")
    if args.wait <= 0 or args.after == "no-reset":
        return _done(made, known, out, "not waited for; press EN (RST) if it does not start")
    return _wait(args, made, known, console, out)


def choose_port(args: argparse.Namespace, out: Output) -> str:
    """The port to use; asks when there is a real choice and a terminal."""
    from kod.flash import ports

    if not args.port and sys.stdin.isatty() and sys.stderr.isatty():
        found = ports.likely_ports()
        if len(found) > 1 and not ports.chosen():
            for number, one in enumerate(found, 1):
                print(f"  {number}  {one.device}  {one.description}", file=sys.stderr)
            print("which port? ", end="", file=sys.stderr, flush=True)
            answer = sys.stdin.readline().strip()
            if not answer.isdigit() or not 1 <= int(answer) <= len(found):
                raise NotThere("no port was chosen")
            return found[int(answer) - 1].device
    return ports.choose(args.port)


def _flash_size(args: argparse.Namespace, chip: Chip) -> int:
    from kod.flash import boards

    if args.flash_size:
        return boards.size_in_bytes(args.flash_size)
    if not chip.flash_size:
        raise UserError("esptool cannot tell the size of the flash; give it: --flash-size 4MB")
    return chip.flash_size


def name_before(port: str) -> str | None:
    """A board that is flashed again at the same port keeps its name."""
    return next((known.name for known in config.devices() if known.console == port), None)


def _kept(
    args: argparse.Namespace,
    line: Line,
    chip: Chip,
    board: Board,
    partitions: Any,
    size: int,
    wifi: list[list[str]] | None,
    out: Output,
) -> tuple[bytes, dict[str, Any]]:
    """--keep: the file system that is on the board, and its settings with what is new."""
    from kod.flash import boards, esp, firmware, image

    there = firmware.parse_table(esp.read(line, chip.name, 0x8000, 0xC00, progress(out)))
    try:
        old = boards.vfs_of(there, size) if there else None
    except ValueError:
        old = None
    new = boards.vfs_of(partitions, size)
    if old is None or (old.offset, old.size) != (new.offset, new.size):
        raise UserError(
            "--keep: the file system on this board is not where the new firmware looks for it; "
            "nothing was written. Flash without --keep, and install the apps again"
        )
    out.note(f"reading {new.size >> 10} KB of files, to keep them")
    content = esp.read(line, chip.name, new.offset, new.size, progress(out))
    out.end_progress()
    try:
        settings = config_of(image.read(content))
    except image.Unreadable as error:
        raise UserError(f"--keep: {error}; nothing was written. Flash without --keep") from None
    if settings is None:
        raise UserError(
            "--keep: no Kodkod device (no kodkod.json on it); nothing was written. Flash without "
            "--keep"
        )
    return content, renewed(settings, args, wifi)


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


def config_of(files: dict[str, bytes]) -> dict[str, Any] | None:
    """The settings among a device's files, or None."""
    import json

    try:
        value = json.loads(files["kodkod.json"])
    except (KeyError, ValueError):
        return None
    return value if isinstance(value, dict) and "wifi" in value else None


def progress(out: Output) -> Any:
    """How work with a device shows how far it is."""
    return lambda what, done, total: out.progress(what, done, total)


def _remember(made: Plan, port: str) -> config.Known:
    """Keeps name, id and key; what was known of the board that was at this port is replaced."""
    known = replace(made.known, console=port)
    for other in config.devices():
        if other.console == port and other.id != known.id:
            config.forget(other)
    config.remember(known)
    config.set_last_used(known.id)
    return known


def _wait(
    args: argparse.Namespace, made: Plan, known: config.Known, port: str, out: Output
) -> int:
    from kod.flash import wait

    wifi = bool(made.settings["wifi"])
    out.note(f"waiting until '{known.name}' is up")
    heard = wait.wait(port, known, wifi=wifi, seconds=args.wait, say=out.note)
    if heard.host:
        known = replace(known, host=heard.host, port=heard.port or known.port)
        config.remember(known)
    if heard.up:
        return _done(made, known, out, remark(known, wifi))
    if heard.trouble or heard.prompt:
        why = heard.trouble or "it shows MicroPython's prompt, Kodkod did not start"
        raise UserError(
            f"'{known.name}' is flashed, but {why}; kod doctor --port {port} looks further",
            detail="\n".join(heard.lines[-20:]),
        )
    raise Unreachable(
        f"'{known.name}' is flashed and verified, but said nothing on {port} within "
        f"{args.wait:g} s; press EN (RST) on the board, then: kod ping -d {known.name}"
    )


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


def _done(made: Plan, known: config.Known, out: Output, remark: str) -> int:
    if out.as_json:
        out.json(
            {
                "name": known.name,
                "id": known.id,
                "host": known.host,
                "port": known.port,
                "console": known.console,
                "up": not remark,
                "remark": remark,
                "plan": made.as_json(),
            }
        )
        return 0
    where = f"{known.host}:{known.port}" if known.host else known.console
    out.line(f"{known.name} ({known.id}) at {where}" + (f": {remark}" if remark else ""))
    out.note(f"next: kod install NAME FILE.py -d {known.name}")
    return 0


VERBS = {"flash": (add_arguments, run)}
