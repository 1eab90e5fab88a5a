from typing import Any

LIMIT: int
"""The usual limit of a value, in packed bytes."""

def copy(value: object, limit: int = 8192, name: str = "value") -> Any:
    """A copy that shares nothing mutable with `value`: tuples become lists, resources handles.

    Raises NotSerializable with the path from `name` to what may not cross, and TooLarge when
    it would need more than `limit` bytes packed.
    """

def pack(value: object, limit: int = 8192, name: str = "value") -> bytes:
    """MessagePack of `value` as bytes, by the rules and with the errors of `copy`."""

def unpack(buffer: bytes | bytearray | memoryview) -> Any:
    """The value of one MessagePack message; anything else raises NotSerializable."""
