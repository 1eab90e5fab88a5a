# Answers what copy, pack and unpack make of a value or a buffer; runs on MicroPython and CPython.
# One line in, one line out: `v EXPRESSION` or `u HEX`; started by test_message_properties.py.
import struct
import sys
from binascii import hexlify, unhexlify

from kodkod import errors
from kodkod.message import copy, pack, unpack


class R:
    def __init__(self, handle):
        self.handle = handle

    def _kodkod_handle(self):
        return self.handle


def F(text):
    return struct.unpack(">d", unhexlify(text))[0]


def described(value):
    """A text that is the same for the same value and types on every Python."""
    kind = type(value)
    if value is None or kind is bool or kind is int:
        return str(value)
    if kind is float:
        return "f" + ("nan" if value != value else hexlify(struct.pack(">d", value)).decode())
    if kind is str:
        return "s" + hexlify(value.encode("utf8", "surrogatepass")).decode()
    if kind is bytes:
        return "b" + hexlify(value).decode()
    if kind is list:
        return "[" + ",".join([described(item) for item in value]) + "]"
    pairs = [described(key) + ":" + described(value[key]) for key in value]
    return "{" + ",".join(sorted(pairs)) + "}"


def outcome(function, *args):
    try:
        return described(function(*args))
    except errors.KodkodError as exc:
        return "!" + type(exc).__name__ + " " + hexlify(str(exc).encode()).decode()


def limited(value, size):
    """Whether `size` is exactly what the value needs, for copy and for pack."""
    for way in (copy, pack):
        if outcome(way, value, size)[0] == "!":
            return "inexact"
        if not outcome(way, value, size - 1).startswith("!TooLarge"):
            return "inexact"
    return "exact"


def answer(line):
    if line[0] == "u":
        return outcome(unpack, unhexlify(line[2:]))
    value = eval(line[2:])
    copied = outcome(copy, value)
    packed = outcome(pack, value)
    if packed[0] == "!":
        return copied + "|" + packed
    data = pack(value)
    return "|".join((copied, packed, outcome(unpack, data), limited(value, len(data))))


def main():
    while True:
        line = sys.stdin.readline()
        if not line:
            return
        try:
            print(answer(line.strip()))
        except Exception as exc:
            print(f"crashed: {exc!r}")


main()
