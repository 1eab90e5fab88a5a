# What `pack` of message.py has made is read again; what a stranger sends instead is refused.
# docs/values.md says what is taken.
import struct

from kodkod import errors

const = int  # MicroPython's compiler folds const(); CPython only needs the name

_DEPTH = const(16)
_KEYS = (str, int, bytes)
# What the bytes 0xc4 to 0xdf of MessagePack mean: kind, and the width of the number that follows.
_FORMS = b"ABD\0\0\0$(\x11\x12\x14\x181248\0\0\0\0\0QRTbdrt"
_SELF = const(1)
_FLOAT = const(2)
_INT = const(3)
_BIN = const(4)
_STR = const(5)
_LIST = const(6)
_MAP = const(7)


def unpack(buffer, levels=_DEPTH):
    """The value of one MessagePack message; anything else raises NotSerializable.

    Whatever lengths the buffer claims, this allocates in proportion to its own.
    """
    view = memoryview(buffer)
    end = len(view)
    at = 0
    root = target = []
    key = None
    left = 1  # values that target still needs; a dict with an even number left needs a key
    stack = []
    try:
        while True:
            code = value = view[at]
            at += 1
            kind = _SELF
            number = 0
            if code >= 0xE0:
                value -= 256
            elif code >= 0xC4:
                kind = _FORMS[code - 0xC4]
                width = kind & 15
                kind >>= 4
                value = number = int.from_bytes(view[at : at + width], "big")
                at += width
            elif code >= 0xC0:
                value = (None, 0, False, True)[code & 3]
                kind = code != 0xC1
            elif code >= 0x80:
                kind = _STR if code >= 0xA0 else _LIST if code >= 0x90 else _MAP
                number = code & (31 if kind == _STR else 15)
            if _BIN <= kind <= _STR:
                if number > end:  # on 32 bits no slice takes the largest
                    raise ValueError
                value = bytes(view[at : at + number])
                at += number
            if at > end or not kind:
                raise ValueError
            if kind == _STR:
                data = value
                value = str(data, "utf8")
                if len(value) != len(data):  # not all of it is ASCII
                    from kodkod.message import _is_garbled

                    if _is_garbled(value, data):
                        raise ValueError
            elif kind == _FLOAT:
                value = struct.unpack(">d" if width == 8 else ">f", view[at - width : at])[0]
            elif kind == _INT:
                if number >> 8 * width - 1:
                    value -= 1 << 8 * width
            elif kind >= _LIST:
                value = []
                if kind == _MAP:
                    value = {}
                    number *= 2
                if len(stack) == levels:
                    raise ValueError
            left -= 1
            if type(target) is list:
                target.append(value)
            elif not left & 1:
                target[key] = value
            elif type(value) in _KEYS:
                key = value
            else:
                raise ValueError
            if kind >= _LIST and number:
                stack.append((target, left, key))
                target = value
                left = number
            while not left:
                if stack:
                    target, left, key = stack.pop()
                elif at < end:
                    raise ValueError
                else:
                    return root[0]
    except (IndexError, ValueError):
        raise errors.NotSerializable("malformed message")
