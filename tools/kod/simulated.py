"""Which simulated devices run on this computer. What runs one is `kod.simulate`."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import Any, NoReturn

from kod import config
from kod.errors import UserError

LOCK = "run.lock"
RUN = "run.json"


def default_folder(name: str) -> Path:
    """The flash of a simulated device that was given no folder."""
    return config.home() / "sim" / name


def running(folder: Path | str) -> dict[str, Any] | None:
    """What run.json of `folder` says while a simulated device runs on it, else None.

    The lock decides: it goes with the process, also when that was killed.
    """
    try:
        import fcntl
    except ImportError:  # a system on which none can run
        return None
    with (
        contextlib.suppress(FileNotFoundError, NotADirectoryError),
        open(Path(folder) / LOCK) as lock,
    ):
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return config.read(Path(folder) / RUN) or None
    return None


def refuse_second(run: dict[str, Any]) -> NoReturn:
    """UserError: one folder is the flash of one device at a time."""
    raise UserError(
        f"simulated device '{run.get('name', '?')}' runs already "
        f"(process {run.get('pid', '?')}); --name makes another one"
    )


def answers(host: str, port: int) -> bool:
    """Whether something accepts connections there."""
    with contextlib.suppress(OSError, UnicodeError), socket.create_connection((host, port), 1.0):
        return True
    return False
