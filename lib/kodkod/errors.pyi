from typing import Any

__all__ = [
    "KodkodError",
    "ServiceNotFound",
    "VersionMismatch",
    "Ambiguous",
    "AlreadyOpen",
    "AlreadyInstalled",
    "ClientClosed",
    "ServiceClosed",
    "ResourceClosed",
    "NotNotifiable",
    "CallTimeout",
    "Busy",
    "UnknownMethod",
    "NotSerializable",
    "TooLarge",
    "Denied",
    "RemoteError",
    "AppNotFound",
    "AppExists",
    "AppFailed",
    "ImageInvalid",
    "StorageFull",
    "AuthFailed",
    "Incompatible",
]

class KodkodError(Exception):
    """The root of all. `code` is its number on the wire."""

    code: int

class ServiceNotFound(KodkodError):
    """Nothing is registered that the selector allows, also after the wait."""

class VersionMismatch(ServiceNotFound):
    """Registered, but in no compatible version; the message names those that are there."""

class Ambiguous(KodkodError):
    """Two allowed, compatible providers have the same top priority."""

class AlreadyOpen(KodkodError):
    """`open` on an open client."""

class AlreadyInstalled(KodkodError):
    """`install` on an installed provider."""

class ClientClosed(KodkodError):
    """A call on a client that was never opened, or that its owner closed."""

class ServiceClosed(KodkodError):
    """The provider uninstalled or its app ended, also while the call was running."""

class ResourceClosed(KodkodError):
    """A resource or handle that is closed, another client's, or none."""

class NotNotifiable(KodkodError):
    """`notify` on a resource that was made without `notifiable=True`."""

class CallTimeout(KodkodError):
    """The call's own time limit ran out."""

class Busy(KodkodError):
    """A bound on pending calls or connections was reached."""

class UnknownMethod(KodkodError):
    """An index or name that the service does not have."""

class NotSerializable(KodkodError):
    """A value that may not cross; the message has the path to it and its type."""

class TooLarge(KodkodError):
    """A value that needs more bytes than the limit: send it in pieces."""

class Denied(KodkodError):
    """The app has no permission for it."""

class RemoteError(KodkodError):
    """Another exception of the provider: `type` is its class's name, `traceback` its text."""

    type: str
    traceback: str
    def __init__(self, message: str = "", type: str = "", traceback: str = "") -> None: ...

class AppNotFound(KodkodError):
    """No app has this name."""

class AppExists(KodkodError):
    """An app of this name is there already."""

class AppFailed(KodkodError):
    """An app ended with an exception, as a runaway, or for lack of memory."""

class ImageInvalid(KodkodError):
    """A container image is damaged, incomplete, or not what its id says."""

class StorageFull(KodkodError):
    """The flash has no room for it."""

class AuthFailed(KodkodError):
    """The other side does not know the device's key."""

class Incompatible(KodkodError):
    """The two sides have versions that do not fit."""

def from_wire(code: int, message: str = "", type: str = "", traceback: str = "") -> KodkodError:
    """The exception that `to_wire` described; a code that this side does not know: RemoteError."""

def legible(text: str, limit: int) -> str:
    """`text`, or what of it is ASCII: so that it crosses every boundary, in `limit` bytes."""

def to_wire(exc: BaseException) -> list[Any]:
    """[code, message, type, traceback] of any exception; never raises, whatever its `str` does."""
