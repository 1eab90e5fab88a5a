# What a device test may use besides assert: raises, skip, deep.
# Runs on MicroPython and CPython; tests/conftest.py collects the files and reports each function.
import sys


class Skip(Exception):
    """Ends a test that cannot run here."""


def skip(reason):
    raise Skip(reason)


class raises:  # noqa: N801
    """`with raises(Busy, "16 calls") as caught:` the block must raise it; see `caught.value`."""

    def __init__(self, expected, text=""):
        self.expected = expected
        self.text = text
        self.value = None

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        if kind is None:
            raise AssertionError("nothing raised, expected %r" % (self.expected,))
        if not issubclass(kind, self.expected):
            return False
        self.value = value
        assert self.text in str(value), "%r is not in %r" % (self.text, str(value))
        return True


is_micropython = sys.implementation.name == "micropython"
