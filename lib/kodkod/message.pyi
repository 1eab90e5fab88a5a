from typing import Any

LIMIT: int
"""The limit of a value in packed bytes where no other is said. A device may set it."""

def copy(value: object, limit: int | None = None, name: str = "value") -> Any:
    """A copy that shares nothing mutable with `value`: tuples become lists, resources handles.

    Raises NotSerializable with the path from `name` to what may not cross, and TooLarge when
    it would need more than `limit` bytes packed (None: LIMIT).
    """

def pack(value: object, limit: int | None = None, name: str = "value", levels: int = 16) -> bytes:
    """MessagePack of `value` as bytes, by the rules and with the errors of `copy`. A link allows
    `levels` for the array around a value, too."""

def unpack(buffer: bytes | bytearray | memoryview, levels: int = 16) -> Any:
    """The value of one MessagePack message; anything else raises NotSerializable."""
