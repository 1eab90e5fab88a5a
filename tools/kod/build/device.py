"""What a stock ESP32 firmware has, for builds that could not ask the device."""

from __future__ import annotations

from collections.abc import Iterable

# MicroPython looks for these before any file: a file of the same name is never imported.
_FIXED = """
    _asyncio _espnow _onewire _thread _webrepl btree builtins cmath deflate esp esp32 framebuf gc
    math micropython network sys tls uctypes usys vfs
"""
# Importable as uNAME too, for programs written before MicroPython 1.21.
_EXTENSIBLE = """
    array binascii bluetooth collections cryptolib errno hashlib heapq io json machine os platform
    random re select socket struct time websocket
"""
_FROZEN = """
    _boot aioespnow apa106 asyncio asyncio.core asyncio.event asyncio.funcs asyncio.lock
    asyncio.stream dht ds18x20 espnow flashbdev inisetup mip mip.__main__ neopixel ntptime onewire
    requests ssl uasyncio umqtt.robust umqtt.simple upysh urequests webrepl webrepl_setup
"""
FIXED = frozenset(_FIXED.split())
EXTENSIBLE = frozenset(_EXTENSIBLE.split())
STOCK = FIXED | EXTENSIBLE | {"u" + name for name in EXTENSIBLE} | frozenset(_FROZEN.split())


class Device:
    """The modules of one device; the library `kodkod` is always among them."""

    def __init__(self, builtins: Iterable[str] | None = None) -> None:
        names = set(STOCK) if builtins is None else {_dotted(name) for name in builtins}
        tops = {_top(name) for name in names}
        # A device may list its packages without what is inside, and never lists the u-names.
        names |= {name for name in STOCK if _top(name) in tops}
        names |= {"u" + name for name in EXTENSIBLE if name in names}
        self.names = {prefix for name in names for prefix in _prefixes(name)}
        self.plain_folders = self.names - names

    def has(self, name: str) -> bool:
        return name in self.names or _top(name) == "kodkod"

    def is_fixed(self, name: str) -> bool:
        """Whether a file can never take the place of this module."""
        top = _top(name)
        return top == "kodkod" or (top in FIXED and top in self.names)


def _dotted(name: str) -> str:
    """`umqtt/simple` and `asyncio/__init__`, as help("modules") writes them."""
    return name.replace("/", ".").removesuffix(".__init__")


def _top(name: str) -> str:
    return name.partition(".")[0]


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
