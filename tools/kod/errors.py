"""Errors of a user's making: one line on stderr and an exit code.

Anything that is not a `UserError` (or one of the device's typed errors) is a bug of kod
and keeps its traceback.
"""

from __future__ import annotations

OK = 0
FAILED = 1
USAGE = 2
NOT_FOUND = 3
LOST = 4
AUTH = 5
INTERRUPTED = 130


class UserError(Exception):
    """The device or an app failed; the message says what, why and the next step.

    `detail` holds lines shown as they are before the message: a traceback of the device, or
    the source line with its caret.
    """

    exit_code = FAILED

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


class BadInput(UserError):
    """What was typed, or a file it names, cannot be used; nothing was sent."""

    exit_code = USAGE


class NotThere(UserError):
    """No such device, app or service."""

    exit_code = NOT_FOUND


class Unreachable(UserError):
    """It did not answer in time, or the line was lost."""

    exit_code = LOST


class NotAllowed(UserError):
    """The device does not accept the key, or there is none for it."""

    exit_code = AUTH


# Errors of the device (kodkod.errors), by class name: one that is not here means FAILED.
_DEVICE_CODES = {
    "AppNotFound": NOT_FOUND,
    "ServiceNotFound": NOT_FOUND,
    "VersionMismatch": NOT_FOUND,
    "UnknownMethod": NOT_FOUND,
    "CallTimeout": LOST,
    "LinkLost": LOST,
    "ServiceClosed": LOST,
    "AuthFailed": AUTH,
}


def exit_code(error: BaseException) -> int | None:
    """The exit code of `error`, or None when it is a bug and no one's mistake."""
    if isinstance(error, UserError):
        return error.exit_code
    for kind in type(error).__mro__:
        if kind.__name__ in _DEVICE_CODES:
            return _DEVICE_CODES[kind.__name__]
        if kind.__name__ == "KodkodError":
            return FAILED
    return None
