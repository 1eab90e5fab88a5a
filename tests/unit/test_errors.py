# The errors: stable codes, same class on the other side, and a wire form that always crosses.
# also: cpython
from harness import raises
from kodkod import errors
from kodkod.message import pack, unpack

CODES = {
    "KodkodError": 0,
    "ServiceNotFound": 1,
    "VersionMismatch": 2,
    "Ambiguous": 3,
    "AlreadyOpen": 4,
    "AlreadyInstalled": 5,
    "ClientClosed": 6,
    "ServiceClosed": 7,
    "ResourceClosed": 8,
    "NotNotifiable": 9,
    "CallTimeout": 10,
    "Busy": 11,
    "UnknownMethod": 12,
    "NotSerializable": 13,
    "TooLarge": 14,
    "Denied": 15,
    "RemoteError": 16,
    "AppNotFound": 17,
    "AppExists": 18,
    "AppFailed": 19,
    "ImageInvalid": 20,
    "StorageFull": 21,
    "AuthFailed": 22,
    "Incompatible": 23,
}


class Hostile(Exception):
    def __str__(self):
        raise ValueError("no text")


class Mine(errors.Busy):
    pass


class Teapot(errors.KodkodError):
    code = 418


def over_the_wire(exc):
    return errors.from_wire(*unpack(pack(errors.to_wire(exc), 2048)))


def caught(function):
    try:
        function()
    except Exception as exc:
        return exc


def fails():
    raise KeyError("pin")


def test_codes_never_change():
    for name in CODES:
        assert getattr(errors, name).code == CODES[name], name


def test_every_error_keeps_its_class_and_message():
    for name in CODES:
        exc = over_the_wire(getattr(errors, name)("what and why"))
        assert type(exc) is getattr(errors, name)
        assert str(exc) == "what and why"


def test_all_derive_from_one_root():
    for name in CODES:
        assert issubclass(getattr(errors, name), errors.KodkodError)
    assert issubclass(errors.VersionMismatch, errors.ServiceNotFound)
    assert not issubclass(errors.Busy, errors.ServiceNotFound)


def test_a_class_is_made_once():
    assert errors.Busy is errors.Busy
    assert errors.Busy.__name__ == "Busy"


def test_no_other_name_is_there():
    with raises(AttributeError):
        errors.Nothing  # noqa: B018


def test_another_exception_arrives_as_remote_error():
    exc = over_the_wire(caught(fails))
    assert type(exc) is errors.RemoteError
    assert exc.type == "KeyError"
    assert str(exc).startswith("KeyError: ") and "pin" in str(exc)
    assert "test_errors.py" in exc.traceback and "in fails" in exc.traceback


def test_a_remote_error_passed_on_stays_as_it_was():
    first = over_the_wire(caught(fails))
    second = over_the_wire(first)
    assert (str(second), second.type, second.traceback) == (
        str(first),
        first.type,
        first.traceback,
    )


def test_an_exception_without_text_is_named():
    assert str(over_the_wire(ValueError())) == "ValueError"


def test_a_subclass_arrives_as_the_error_it_derives_from():
    assert type(over_the_wire(Mine("m"))) is errors.Busy


def test_an_own_code_arrives_as_remote_error():
    exc = over_the_wire(Teapot("short and stout"))
    assert type(exc) is errors.RemoteError
    assert exc.type == "Teapot"


def test_an_error_that_cannot_be_shown_still_crosses():
    exc = over_the_wire(Hostile())
    assert type(exc) is errors.RemoteError and exc.type == "Hostile"
    strange = errors.RemoteError(1, 2, None)
    assert over_the_wire(strange).type == "2"


def test_long_and_garbled_text_fits_and_crosses():
    long_name = type("X" * 200, (Exception,), {})
    for text in ("x" * 10000, "\ud800" * 5000, "é" * 10000, "漢" * 10000, "🐈" * 10000):
        for kind in (ValueError, errors.Busy, long_name):
            exc = over_the_wire(kind(text))
            assert len(str(exc)) <= 300
    assert str(over_the_wire(errors.Busy("Größe 漢字"))) == "Größe 漢字"
    assert str(over_the_wire(errors.Busy("a\ud800b"))) == "a?b"


def test_codes_of_a_newer_side_arrive_as_remote_error():
    for code in (24, -1, 10**9, None, "x", b"x", 2.5, [1], {}):
        exc = errors.from_wire(code, "text", "Novelty", "")
        assert type(exc) is errors.RemoteError
        assert exc.type == "Novelty" and str(exc) == "text"


def test_a_whole_float_or_bool_as_code_does_no_harm():
    for code in (True, 1.0):
        assert isinstance(errors.from_wire(code, "text"), errors.KodkodError)


def test_all_can_be_imported_at_once():
    scope = {}
    exec("from kodkod.errors import *", scope)
    assert scope["Busy"] is errors.Busy and scope["KodkodError"] is errors.KodkodError
