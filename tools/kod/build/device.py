"""Which modules a device has: asked of it, or what a stock ESP32 has when it cannot be asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

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
_LONGEST = 100  # bytes; MicroPython's import takes no longer path than 127
_BATCH = 16
STOCK = FIXED | EXTENSIBLE | {"u" + name for name in EXTENSIBLE} | frozenset(_FROZEN.split())


class Device:
    """The modules of one device; the library `kodkod` is always among them."""

    where = "on the device"

    def __init__(self, builtins: Iterable[str] | None = None) -> None:
        names = set(STOCK) if builtins is None else {_dotted(name) for name in builtins}
        tops = {_top(name) for name in names}
        # A device may list its packages without what is inside, and never lists the u-names.
        names |= {name for name in STOCK if _top(name) in tops}
        names |= {"u" + name for name in EXTENSIBLE if name in names}
        self._names = {prefix for name in names for prefix in _prefixes(name)}
        self._plain_folders = self._names - names

    def has(self, name: str) -> bool:
        return name in self._names or _top(name) == "kodkod"

    def is_fixed(self, name: str) -> bool:
        """Whether a file can never take the place of this module."""
        top = _top(name)
        return top == "kodkod" or (top in FIXED and self.has(top))

    def is_plain_folder(self, name: str) -> bool:
        """Whether it is a folder of modules that is none itself."""
        return name in self._plain_folders

    def is_hidden(self, name: str) -> bool:
        """Whether a file of this name takes the place of the device's module."""
        return self.has(name)

    def prepare(self, names: Iterable[str]) -> None:
        """These will be looked up soon."""


class AnyDevice(Device):
    """Has whatever is not found here: for what is to be seen before a device is reached."""

    def has(self, name: str) -> bool:
        return True


class AskedDevice(Device):
    """The modules of a device that is connected, which tells what its firmware has.

    `ask` gives those of some names that are there; `known` holds the answers of before, and
    gets the new ones.
    """

    def __init__(
        self, name: str, ask: Callable[[list[str]], Iterable[str]], known: dict[str, bool]
    ) -> None:
        super().__init__()
        self.where = f"in the firmware of '{name}'"
        self.known = known
        self._ask = ask
        self._fresh: set[str] = set()

    def has(self, name: str) -> bool:
        if _top(name) == "kodkod":
            return True
        self.prepare([name])
        return self.known.get(name, False)

    def is_plain_folder(self, name: str) -> bool:
        return super().is_plain_folder(name) and self.has(name)

    def is_hidden(self, name: str) -> bool:
        return name in self._names and self.has(name)

    def prepare(self, names: Iterable[str]) -> None:
        wanted = {name for name in names if name not in self.known and _top(name) != "kodkod"}
        wanted = {name for name in wanted if len(name.encode()) <= _LONGEST}
        for batch in _batches(sorted(wanted)):
            there = set(self._ask(batch))
            self.known.update((name, name in there) for name in batch)
            self._fresh.update(batch)

    def doubt(self) -> bool:
        """Forgets what was said to be missing before now; whether there was any of it.

        Firmware that is made anew on the same day may call itself as before.
        """
        old = [name for name in self.known if not self.known[name] and name not in self._fresh]
        for name in old:
            del self.known[name]
        return bool(old)


def _batches(names: list[str]) -> Iterator[list[str]]:
    """As many names at a time as surely fit one message."""
    for at in range(0, len(names), _BATCH):
        yield names[at : at + _BATCH]


def _dotted(name: str) -> str:
    """`umqtt/simple` and `asyncio/__init__`, as help("modules") writes them."""
    return name.replace("/", ".").removesuffix(".__init__")


def _top(name: str) -> str:
    return name.partition(".")[0]


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
