"""Puts the library on a device that already runs MicroPython, or renews it there.

Staged in /lib.new, compared by SHA-256, switched by renames; what was there stays in /lib.old
until the new library has come up, and is put back when it does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kod import reading
from kod.errors import UserError
from kod.flash import plan
from kod.mpremote_api import Refused, Repl

_SCRIPT = Path(__file__).parent / "flash" / "on_device.py"
_OLDEST = (1, 26)
_MPY = 6  # the version of .mpy that the library is compiled to
_SPARE = 32 * 1024  # flash that must stay free while old and new lie side by side
_BLOCK = 4096

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Info:
    """What a device says of itself in its REPL."""

    implementation: str
    version: tuple[int, ...]
    mpy: int
    platform: str
    free_flash: int
    board: str
    is_running: bool  # Kodkod is: this prompt is its console's


@dataclass
class Setup:
    """One setting-up, step by step; `repl` is in the raw REPL."""

    repl: Repl
    progress: Progress = lambda what, done, total: None

    def send_functions(self) -> None:
        """Defines the functions of on_device.py in the REPL."""
        self.repl.run(_SCRIPT.read_text())

    def begin(self) -> Info:
        """Sends what runs on the device, mends what an earlier setup left, and looks around."""
        self.send_functions()
        info = Info(*self.repl.value("info()"))
        if info.implementation != "micropython":
            raise UserError(f"the device runs {info.implementation}, not MicroPython: kod flash")
        version = ".".join(str(part) for part in info.version)
        if info.version[:2] < _OLDEST:
            raise UserError(
                f"the device runs MicroPython {version}; Kodkod needs 1.26 or newer: kod flash"
            )
        if info.mpy != _MPY:
            raise UserError(
                f"MicroPython {version} there reads .mpy version {info.mpy}, the library is "
                f"version {_MPY}: update kod, or kod flash"
            )
        self.repl.run("mend()")
        return info

    def settings(self) -> dict[str, Any] | None:
        """The settings that the device has."""
        if not self.repl.value("exists('/kodkod.json')"):
            return None
        try:
            value = reading.from_json(self.repl.read("/kodkod.json"))
        except ValueError:
            return None
        return value if isinstance(value, dict) and "key" in value else None

    def strangers(self) -> list[str]:
        """The start files of somebody else, which a setup would replace."""
        return [
            name for name in ("boot.py", "main.py") if not self.repl.value(f"is_ours('/{name}')")
        ]

    def there(self) -> dict[str, str]:
        """Path and SHA-256 of what the device has of the library."""
        text = self.repl.run("hashes('/lib/kodkod')")
        found = dict(line.rsplit(" ", 1) for line in text.splitlines() if line)
        for name in ("/boot.py", "/main.py"):
            digest = self.repl.value(f"digest('{name}')")
            if digest:
                found[name] = digest
        return found

    def stage(self, files: dict[str, bytes], there: dict[str, str], free: int) -> int:
        """Puts `files` into /lib.new; those that the device has are copied there, not sent.

        Returns the bytes that were sent.
        """
        check_room(files, free, "remove files there, or kod flash")
        has = {digest: path for path, digest in there.items()}
        total, done, sent = sum(map(len, files.values())), 0, 0
        for path, data in sorted(files.items()):
            target, digest = _staged(path), _sha256(data)
            if digest in has:
                self.repl.run(f"copy({has[digest]!r}, {target!r})")
            else:
                self.repl.run(f"make_folder({target.rpartition('/')[0]!r})")
                self.repl.write(target, data)
                sent += len(data)
            done += len(data)
            self.progress("sending", done, total)
        return sent

    def verify(self, files: dict[str, bytes]) -> None:
        """Compares what is staged with what was sent, by SHA-256, on the device."""
        text = self.repl.run("hashes('/lib.new')")
        found = dict(line.rsplit(" ", 1) for line in text.splitlines() if line)
        wanted = {_staged(path): _sha256(data) for path, data in files.items()}
        if found != wanted:
            wrong = sorted(path for path in wanted if found.get(path) != wanted[path])
            self.repl.run("remove('/lib.new')")
            raise UserError(
                f"{wrong[0] if wrong else 'a file'} arrived damaged; nothing was changed on the "
                "device. Run the command again"
            )

    def write_settings(self, settings: dict[str, Any]) -> None:
        """Replaces /kodkod.json in one rename."""
        self.repl.write("/kodkod.json.new", plan.settings_file(settings))
        self.repl.run("os.rename('/kodkod.json.new', '/kodkod.json')")

    def switch(self) -> None:
        """Puts the staged library into its place; the one before stays in /lib.old."""
        self.repl.run("switch()")

    def try_import(self) -> None:
        """Imports the new library once, before the device starts with it."""
        try:
            self.repl.run("import kodkod\nfrom kodkod.system import boot as _kodkod_boot")
        except Refused as error:
            self.roll_back()
            raise UserError(
                f"the new library does not load there ({error}); the one before is back",
                detail=error.detail,
            ) from None

    def roll_back(self) -> None:
        self.repl.run("roll_back()")

    def forget_old(self) -> None:
        self.repl.run("remove('/lib.old')")

    def restart(self) -> None:
        self.repl.send("restart()")


def check_room(files: dict[str, bytes], free: int, way_out: str) -> None:
    """UserError unless `free` bytes of flash hold a new library beside the one that is there."""
    needed = sum(-(-len(data) // _BLOCK) * _BLOCK for data in files.values()) + _SPARE
    if free < needed:
        raise UserError(
            f"the device has {free >> 10} KB of flash free, {needed >> 10} KB are "
            f"needed to renew the library; {way_out}"
        )


def changed(files: dict[str, bytes], there: dict[str, str]) -> bool:
    """Whether the device has another library than `files`."""
    return {"/" + path: _sha256(data) for path, data in files.items()} != there


def _staged(path: str) -> str:
    return "/lib.new/" + path.removeprefix("lib/")


def _sha256(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()
