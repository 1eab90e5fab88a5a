"""Asking the person at the terminal, when there is one."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import TypeVar

Choice = TypeVar("Choice")


def may_ask() -> bool:
    """Whether a person is there to answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def pick(
    question: str, choices: Sequence[Choice], shown: Sequence[str], default: str = ""
) -> Choice | None:
    """The choice whose number is typed, counted from 1, each `shown` by its line; an empty answer
    is `default`. None for any other answer."""
    for number, text in enumerate(shown, 1):
        print(f"  {number}  {text}", file=sys.stderr)
    print(f"{question} ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline().strip() or default
    number = int(answer) if re.fullmatch("[0-9]{1,9}", answer) else 0
    return choices[number - 1] if 1 <= number <= len(choices) else None
