# Which values cross a boundary: copy() within a device, pack() and unpack() over a link.
# One walk serves copy and pack, so they agree on every value; docs/values.md has the table.
# unpack() is a file of its own: only links and records on flash need it, and load it.
import struct

from kodkod import errors
from kodkod.borrow import borrow

const = int  # MicroPython's compiler folds const(); CPython only needs the name

# Packed bytes of a value for which nobody says another limit; a device may set it.
LIMIT = 8192
_DEPTH = const(16)
_SMALL = const(0x3FFFFFFF)
_KEYS = (str, int, bytes)
_LISTS = (list, tuple)
_BEYOND = {int: "int beyond 64 bits", str: "str not UTF-8"}
# Lead bytes of UTF-8, each with the bounds of the byte after it where those are narrower.
_LEADS = b"\xc0\0\0\xc1\0\0\xe0\xa0\xc0\xed\x80\xa0\xf0\x90\xc0\xf4\x80\x90\xf5  \xf6  \xf7  "


def __getattr__(name):
    if name != "unpack":
        raise AttributeError(name)
    return borrow("kodkod.unpack").unpack


def copy(value, limit=None, name="value"):
    """A copy that shares nothing mutable with `value`: tuples become lists, resources handles.

    Raises NotSerializable with the path from `name` to what may not cross, and TooLarge when
    it would need more than `limit` bytes packed (None: LIMIT).
    """
    if limit is None:
        limit = LIMIT
    # What most calls carry is settled by a bound on its size, in functions of few variables:
    # the frame of one with many is an allocation.
    kind = type(value)
    if kind in _LISTS:
        if _is_flat(value, limit - 9):
            return list(value)
    elif 0 < _bound(value) <= limit:
        return value
    return _walk(value, None, limit, name)[0]


def _is_flat(value, room):
    for item in value:
        size = _bound(item)
        if not size:
            return False
        room -= size
    return room >= 0


def _bound(value):
    # No less than the packed size of a value that surely crosses as it is, else 0.
    kind = type(value)
    if kind is int:
        return 5 if -_SMALL < value < _SMALL else 0
    if kind is str:
        size = len(value.encode("utf8", "surrogatepass"))
        return size + 5 if size == len(value) else 0
    if kind is bytes:
        return len(value) + 5
    return 9 if value is None or kind is bool or kind is float else 0


def pack(value, limit=None, name="value", levels=_DEPTH):
    """MessagePack of `value` as bytes, by the rules and with the errors of `copy`. A link allows
    `levels` for the array around a value, too."""
    out = bytearray()
    _walk(value, out, LIMIT if limit is None else limit, name, levels)
    return bytes(out)


def _walk(value, out, limit, name, levels=_DEPTH):
    # A loop with a list, not recursion: the caller may have few of its task's 48 frames left.
    room = limit
    root = target = []
    source = iter((value,))
    box = None  # the dict that is walked
    key = -1
    stack = []
    while True:
        for item in source:
            if box is None:
                key += 1
            else:
                key = item
                item = box[key]
                size = type(key) in _KEYS and _put(key, out, room)
                if not size:
                    raise _refusal(name, stack, type(key).__name__ + " key")
                room -= size
            kind = type(item)
            copied = item
            if kind is dict:
                copied = {}
                size = _head(out, 0xDE, len(item), 0x80, 16)
            elif kind in _LISTS:
                copied = []
                size = _head(out, 0xDC, len(item), 0x90, 16)
            else:
                if kind is bytearray or kind is memoryview:
                    copied = bytes(memoryview(item)[: room + 1])
                elif hasattr(kind, "_kodkod_handle"):
                    copied = item._kodkod_handle()
                    if copied is None:
                        raise errors.ResourceClosed(f"{name}: a closed {kind.__name__}")
                    if type(copied) is not int:
                        copied = item
                size = _put(copied, out, room)
                if not size:
                    what = _BEYOND.get(kind) or kind.__name__
                    raise _refusal(name, stack + [(key,)], what)
            room -= size
            if room < 0:
                raise errors.TooLarge(f"{name}: over {limit} bytes, send it in pieces")
            if out is None:
                if box is None:
                    target.append(copied)
                else:
                    target[key] = copied
            if kind is dict or kind in _LISTS:
                if len(stack) == levels:
                    raise _refusal(name, stack, "more than 16 levels")
                stack.append((key, source, box, target))
                source = iter(item)
                target = copied
                box = item if kind is dict else None
                key = -1
                break
        else:
            if not stack:
                return root
            key, source, box, target = stack.pop()


def _refusal(name, stack, what):
    for frame in stack[1:]:
        name += f"[{frame[0]!r}]"
    return errors.NotSerializable(f"{name}: {what}")


def _put(value, out, room):
    # The packed size of a value without parts, 0 if it may not cross; appends it to out.
    kind = type(value)
    if kind is int:
        return _head(out, 0xCC if value >= 0 else 0xD0, value, 0, 128)
    if value is None or kind is bool:
        return _head(out, 0, 0xC0 if value is None else 0xC2 + value, 0, 256)
    if kind is float:
        size = 9
        data = out is not None and struct.pack(">Bd", 0xCB, value)
    elif kind is bytes:
        data = value
        size = len(data) + _head(out, 0xC4, len(data), 0, 0)
    elif kind is str:
        data = value.encode("utf8", "surrogatepass")
        if _is_garbled(value, data):
            return 0
        size = len(data) + _head(out, 0xD9, len(data), 0xA0, 32)
    else:
        return 0
    if out is not None and size <= room:
        out.extend(data)
    return size


def _head(out, code, number, fix, top):
    # A number in its shortest form: in one byte, or in as few as fit after a code for their count.
    if -33 < number < top:
        if out is not None:
            out.append(number & 0xFF | fix)
        return 1
    bits = 16 if top == 16 else 8
    while not -1 << bits - 1 <= number < 1 << bits:
        bits *= 2
        code += 1
        if bits > 64:
            return 0
    if out is not None:
        out.append(code)
        out.extend((number % (1 << bits)).to_bytes(bits >> 3, "big"))
    return 1 + (bits >> 3)


def _is_garbled(text, data):
    # MicroPython lets surrogates and overlong forms pass in a str, CPython does not.
    if len(text) != len(data):
        for i in range(0, len(_LEADS), 3):
            for rest in data.split(_LEADS[i : i + 1])[1:] if _LEADS[i] in data else ():
                if not _LEADS[i + 1] <= rest[0] < _LEADS[i + 2]:
                    return True
    return False
