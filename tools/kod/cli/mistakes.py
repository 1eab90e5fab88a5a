"""What is said of a mistake: its detail, then one line; and the same for machines."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import Any

from kod.cli.output import printable
from kod.errors import UserError, exit_code

# What is wrong with the user's disk, and not with kod, also where no file is named.
_OF_THIS_COMPUTER = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
)


def tell(error: Exception) -> dict[str, Any] | None:
    """Says a mistake on stderr, and gives what --json says of it; None when `error` is a bug."""
    if isinstance(error, OSError):
        error = _of_this_computer(error) or error
    code = exit_code(error)
    if code is None:
        return None
    detail = detail_of(error)
    text = " ".join(str(error).split()) or type(error).__name__
    with contextlib.suppress(OSError):  # nobody may read it
        if detail:
            print(printable(detail.rstrip(), sys.stderr), file=sys.stderr)
        print(f"kod: {printable(text, sys.stderr)}", file=sys.stderr, flush=True)
    shown = {"error": text, "code": code, "type": type(error).__name__}
    return shown | ({"detail": detail} if detail else {})


def detail_of(error: Exception) -> str:
    """What stands above the line: a traceback, or what another program said."""
    return str(getattr(error, "detail", "") or getattr(error, "traceback", "") or "")


def _of_this_computer(error: OSError) -> UserError | None:
    """What names a file is about the user's own files and folders."""
    if error.filename is not None:
        return UserError(f"this computer says: {error.strerror}: {error.filename}")
    if error.errno == errno.ENOENT and _here_is_gone():
        return UserError("the folder that you are in is gone; cd to one that is there")
    if error.errno in _OF_THIS_COMPUTER:
        return UserError(f"this computer says: {error.strerror}")
    return None


def _here_is_gone() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False
