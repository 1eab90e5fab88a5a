"""The boards that kod flash knows: their list, and which of them it is."""

from __future__ import annotations

import argparse

from kod import person
from kod.cli.output import Output
from kod.errors import BadInput, UserError
from kod.flash import boards, firmware
from kod.flash.boards import Board


def list_boards(out: Output) -> int:
    """kod flash --list-boards."""
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


def choose_board(args: argparse.Namespace, chip: str | None, out: Output) -> Board:
    """The board: named, else the default one of the chip; asks when there is a real choice."""
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
    if len(choices) > 1 and person.may_ask():
        return _ask(choices)
    out.note(f"board {named[0].name}; another one: --board")
    return named[0]


def _ask(choices: list[Board]) -> Board:
    shown = [f"{board.name:<24} {board.product}" for board in choices]
    one = person.pick("which board? [1]", choices, shown, "1")
    if one is None:
        raise BadInput("none was chosen; --board names one")
    return one
