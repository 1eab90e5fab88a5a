"""kod flash: from a bare board to a device that answers, in one command."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kod import config, reading
from kod.cli import device_options
from kod.cli.output import Output
from kod.cli.parse import number
from kod.errors import BadInput, Unreachable, UserError

if TYPE_CHECKING:
    from kod.flash.boards import Board
    from kod.flash.esp import Chip, Line
    from kod.flash.plan import Plan

_FAST = 460800  # what the USB bridges of boards carry; a URL may lead to anything: there 115200
_ROM = 115200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of kod flash."""
    add = parser.add_argument
    add("-p", "--port", help="serial port or pyserial URL (default: the only one there is)")
    add("--board", help="the board, when its chip alone does not tell; see --list-boards")
    add("--list-boards", action="store_true", help="show the boards that are known")
    add("--firmware", metavar="FILE|URL", help="MicroPython's .bin (default: the board's)")
    device_options.add_options(parser)
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--keep", action="store_true", help="keep installed apps and settings")
    group.add_argument("--erase", action="store_true", help="erase the whole flash first")
    add("--dry-run", action="store_true", help="say what would be written, touch nothing")
    add("-o", "--output", type=Path, metavar="DIR", help="write the images to DIR instead")
    speed = f"speed of the line (default: {_FAST}, {_ROM} for a URL)"
    add("--baud", type=number(1, "speed like 115200"), help=speed)
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
    device_options.add_wait(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Flashes, or says what it would write."""
    if args.list_boards:
        from kod.cli.choose_board import list_boards

        return list_boards(out)
    _check(args)
    if args.dry_run or args.output:
        return _offline(args, out)
    return _flash(args, out)


def _check(args: argparse.Namespace) -> None:
    """Contradictions, before anything is asked for or touched."""
    from kod.flash import boards, firmware

    device_options.check(args)
    if args.flash_size:
        boards.size_in_bytes(args.flash_size)
    if args.firmware:
        firmware.chip_of(args.firmware)
    if args.keep and (args.dry_run or args.output):
        raise BadInput("--keep needs the board: what it keeps is on it")


def _offline(args: argparse.Namespace, out: Output) -> int:
    """--dry-run and -o: no board is touched."""
    from kod.cli.choose_board import choose_board
    from kod.flash import boards, esp, firmware, plan

    board = choose_board(args, None, out)
    size = boards.size_in_bytes(args.flash_size) if args.flash_size else board.flash_size
    wifi = device_options.wifi_of(args, ask=not args.dry_run)
    settings = plan.new_settings(args.name, wifi or [])
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


def _line(args: argparse.Namespace, port: str) -> Line:
    from kod.flash import esp, ports

    baud = args.baud or (_ROM if ports.is_url(port) else _FAST)
    return esp.Line(port, baud, args.before, args.after, not args.no_stub)


def _flash(args: argparse.Namespace, out: Output) -> int:
    from kod.cli.choose_board import choose_board
    from kod.flash import boards, esp, firmware, plan

    wanted = boards.by_name(args.board) if args.board else None  # a typing error shows at once
    port = device_options.choose_port(args, out)
    line = _line(args, port)
    wifi = device_options.wifi_of(args, ask=not args.keep)
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
    board = wanted or choose_board(args, chip.name, out)
    loaded = firmware.load(board, args.firmware, out.note)
    before, settings = None, None
    if args.keep:
        before, settings = _kept(args, line, chip, board, loaded.partitions, size, wifi, out)
    if settings is None:
        name = args.name or device_options.name_before(args.console or port)
        settings = plan.new_settings(name, wifi or [])
    made = plan.make(board, loaded, size, settings, before=before, erase=args.erase)
    for text in made.lines():
        out.note(text)
    config.check_writable()
    total = sum(len(piece.data) for piece in made.pieces)
    out.note(f"writing {total >> 10} KB at {line.baud} baud")
    try:
        esp.write(line, chip.name, made.pieces, erase=args.erase, progress=out.progress)
    except KeyboardInterrupt:
        out.note(f"the flash of the board on {port} is half written: run the command again")
        raise
    console = args.console or port
    known = _remember(made, console)
    out.note("written and verified")
    if args.wait <= 0 or args.after == "no-reset":
        return _done(made, known, out, "not waited for; press EN (RST) if it does not start")
    return _wait(args, made, known, console, out)


def _flash_size(args: argparse.Namespace, chip: Chip) -> int:
    from kod.flash import boards

    if args.flash_size:
        return boards.size_in_bytes(args.flash_size)
    if not chip.flash_size:
        raise UserError("esptool cannot tell the size of the flash; give it: --flash-size 4MB")
    return chip.flash_size


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

    there = firmware.parse_table(esp.read(line, chip.name, 0x8000, 0xC00, out.progress))
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
    content = esp.read(line, chip.name, new.offset, new.size, out.progress)
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
    return content, device_options.renewed(settings, args, wifi)


def config_of(files: dict[str, bytes]) -> dict[str, Any] | None:
    """The settings among a device's files, or None."""
    try:
        value = reading.from_json(files["kodkod.json"])
    except (KeyError, ValueError):
        return None
    return value if isinstance(value, dict) and "wifi" in value else None


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
        return _done(made, known, out, device_options.remark(known, wifi))
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
