# The exceptions that Kodkod raises, and their wire form: [code, message, type, traceback].
# A class is made when its name is first used: two dozen classes at once would cost a device 2 KB.
import io
import sys

# A name's place is its code on the wire: never reorder, only add.
_NAMES = (
    "KodkodError ServiceNotFound VersionMismatch Ambiguous AlreadyOpen AlreadyInstalled"
    " ClientClosed ServiceClosed ResourceClosed NotNotifiable CallTimeout Busy UnknownMethod"
    " NotSerializable TooLarge Denied RemoteError AppNotFound AppExists AppFailed ImageInvalid"
    " StorageFull AuthFailed Incompatible"
)
# An error has to fit in one message of a link (2 KB) beside its frame.
_MESSAGE = 300
_TRACEBACK = 1000


class KodkodError(Exception):
    """The root of all. `code` is its number on the wire."""

    code = 0


class RemoteError(KodkodError):
    """Another exception of the provider: `type` is its class's name, `traceback` its text."""

    code = 16

    def __init__(self, message="", type="", traceback=""):
        super().__init__(message)
        self.type = type
        self.traceback = traceback


def __getattr__(name):
    names = _NAMES.split()
    if name == "__all__":
        return names
    if name not in names:
        raise AttributeError(name)
    base = __getattr__("ServiceNotFound") if name == "VersionMismatch" else KodkodError
    if name not in globals():
        globals()[name] = type(name, (base,), {"code": names.index(name)})
    return globals()[name]


def from_wire(code, message="", type="", traceback=""):
    """The exception that `to_wire` described; a code that this side does not know: RemoteError."""
    names = _NAMES.split()
    if code == RemoteError.code or code not in range(len(names)):
        return RemoteError(message, type, traceback)
    return __getattr__(names[int(code)])(message)


def to_wire(exc):
    """[code, message, type, traceback] of any exception; never raises, whatever its `str` does."""
    name = type(exc).__name__
    trace = ""
    try:
        message = str(exc)
        code = getattr(exc, "code", None)
        if not isinstance(exc, KodkodError) or not isinstance(exc, type(from_wire(code))):
            code = RemoteError.code
            trace = _trace(exc)
            message = f"{name}: {message}" if message else name
        elif code == RemoteError.code:
            name, trace = str(exc.type), str(exc.traceback)
    except Exception:
        code = RemoteError.code
        message = name
    message = legible(message[:_MESSAGE], 2 * _MESSAGE)
    trace = legible(trace[-_TRACEBACK:], _TRACEBACK + 100)
    return [code, message, legible(name[:60], _MESSAGE), trace]


def _trace(exc):
    if hasattr(sys, "print_exception"):
        out = io.StringIO()
        sys.print_exception(exc, out)
        return out.getvalue()
    import traceback

    return "".join(traceback.format_exception(type(exc), exc, exc.__traceback__))


def legible(text, limit):
    """`text`, or what of it is ASCII: a str of MicroPython may hold what UTF-8 cannot say, and
    an error or a line of a log must always cross, in `limit` bytes."""
    from kodkod.message import copy

    try:
        return copy(text, limit)
    except KodkodError:
        return "".join([c if c < "\x7f" else "?" for c in text])
