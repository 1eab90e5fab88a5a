"""A device as a library: find it, install and run apps, read logs, call services.

with Device.find("desk") as device:
    device.install("clock", "clock.py")
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from kod import choose, config, simulated
from kod.errors import NotThere, Unreachable
from kod.installing import Installed, install
from kod.reach import reach, remember

if TYPE_CHECKING:
    from kod.build import Image
    from kod.link import Connection
    from kod.remote_service import Notifications, RemoteService

APPS = "b7f2a1de-0001-4c1e-9a53-6b6f646b6f64"
LOG = "b7f2a1de-0002-4c1e-9a53-6b6f646b6f64"
DEVICE = "b7f2a1de-0003-4c1e-9a53-6b6f646b6f64"
NETWORK = "b7f2a1de-0004-4c1e-9a53-6b6f646b6f64"

PIECE = 512  # bytes of an image in one call: a full heap has few larger pieces
_STOP_MS = 15_000  # a stop waits for the app's `finally` blocks
FLASH_MS = 30_000  # a write to flash may have to wait for an erase
_BACK_S = 30.0  # until a device that restarts can be reached again
_GONE_S = 15.0  # until it goes down: what runs has its `finally` blocks first

Progress = Callable[[int, int], None]

Records = list[dict[str, Any]]


@dataclass(frozen=True)
class Line:
    """A line of a log. `lost` counts what was lost just before it."""

    seq: int
    ms: int
    level: int
    app: str
    text: str
    lost: int = 0


class Run:
    """An app that runs for the moment; closing this stops it."""

    def __init__(self, stream: Notifications) -> None:
        self._stream = stream
        self.code: int | None = None
        self.reason: str | None = None

    @property
    def lost(self) -> int:
        """How many of its lines were dropped: it prints more than the line carries."""
        return self._stream.lost

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def lines(self) -> Iterator[tuple[int, int, str]]:
        """(ms, level, text) of each line that it prints, until it ends."""
        for kind, *rest in self._stream:
            if kind == "log":
                yield rest[0], rest[1], _readable(rest[2])
            elif kind == "end":
                self.code, self.reason = rest

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        for _ in self.lines():
            pass
        return self.code or 0

    def close(self) -> None:
        self._stream.close()


class Device:
    """A device that kod is connected to. Errors are those of `kodkod.errors` and `kod.errors`."""

    def __init__(self, connection: Connection, known: config.Known) -> None:
        self.connection = connection
        self.known = known
        self._target = choose.Target(known)
        self._facts: dict[str, Any] | None = None  # of its firmware, once asked
        self._open: dict[str, RemoteService] = {}

    @classmethod
    def find(cls, which: str | None = None) -> Device:
        """Connects to the device called `which`, or to the one that `kod` would use without -d."""
        return cls.connect(choose.targets([which] if which else [])[0])

    @classmethod
    def connect(cls, target: choose.Target) -> Device:
        """Connects to a device that was chosen; looks for it when it has moved."""
        connection, known = reach(target)
        device = cls(connection, remember(known, connection.hello))
        device._target = replace(target, known=device.known)
        device._set_clock()
        return device

    def reconnect(self, seconds: float = _BACK_S) -> None:
        """Connects again after the line was lost; what was open on it is gone.

        Waits so long for a device that restarts; a simulated one that ended is not waited for.
        """
        from kod.link import LinkLost

        self.connection.close()
        self._open = {}
        self._facts = None  # it may come back with another firmware
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.connection, self.known = reach(self._target)
                break
            except (LinkLost, NotThere, Unreachable) as error:
                gone = self.known.is_simulated and simulated.running(self.known.folder) is None
                if gone or time.monotonic() > deadline:
                    raise LinkLost(f"'{self.name}' does not come back: {error}") from None
            time.sleep(0.1)
        self._set_clock()

    def __enter__(self) -> Device:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self.connection.close()

    @property
    def name(self) -> str:
        return self.known.name

    @property
    def id(self) -> str:
        return self.known.id

    @property
    def address(self) -> str:
        """Where it is reached now: host and port, or a serial port."""
        return self.connection.where

    # Services

    def open(
        self, service: str, major: int | None = None, minor: int = 0, timeout_ms: int = 5000
    ) -> RemoteService:
        """Opens a service by its name, or by its uuid and version."""
        return self.connection.open(service, major, minor, timeout_ms)

    def call(
        self, service: str, method: int | str, arguments: Any = None, timeout_ms: int = 10_000
    ) -> Any:
        """Calls one method of a service that is opened for it."""
        with self.open(service, timeout_ms=1000) as opened:
            return opened.call(method, arguments, timeout_ms)

    def services(self) -> list[dict[str, Any]]:
        """What is provided, and by which app."""
        return self._pages(DEVICE, "services")

    # The device

    def about(self) -> dict[str, Any]:
        """Names, versions, free memory and flash (bytes), uptime (ms)."""
        record: dict[str, Any] = self._call(DEVICE, "info")
        return record

    @property
    def firmware(self) -> str:
        """What its MicroPython says of itself: version, build, board; "" when it does not tell."""
        return str(self._firmware_facts().get("firmware", ""))

    def has_modules(self, names: Sequence[str]) -> list[str]:
        """Those of some modules that are built into its firmware or frozen in it; what lies on
        its flash does not count."""
        return list(self._call(DEVICE, "has", list(names)))

    def ping(self) -> float:
        """Milliseconds that an empty request takes."""
        return self.connection.ping()

    def networks(self) -> list[str]:
        """Names of the Wi-Fi networks that it knows, the preferred one first."""
        known: list[str] = self._call(NETWORK, "wifi")
        return known

    def add_network(self, ssid: str, password: str = "") -> None:
        """Makes a Wi-Fi network known, or its new password; without one it is open."""
        self._call(NETWORK, "wifi_add", ssid, password, timeout_ms=FLASH_MS)

    def remove_network(self, ssid: str) -> bool:
        """Forgets a Wi-Fi network; False when it was not known."""
        return bool(self._call(NETWORK, "wifi_remove", ssid, timeout_ms=FLASH_MS))

    def watchdog(self, ms: int | None = None) -> int:
        """The time of the hardware's watchdog, 0 for none; with `ms` it is set."""
        return int(self._call(DEVICE, "watchdog", ms, timeout_ms=FLASH_MS))

    def log_pool(self, size: int | None = None) -> int:
        """How many bytes of memory the lines of all apps share; with `size` it is set."""
        return int(self._call(DEVICE, "log_pool", size, timeout_ms=FLASH_MS))

    def reset(self) -> None:
        """Stops the apps gracefully, then restarts the device."""
        from kod.link import LinkLost

        service = self._service(DEVICE)
        with contextlib.suppress(LinkLost):  # the restart may be quicker than its answer
            service.call("reset", [])
        # The next command is not to find it in its last moments; a cable tells of no end.
        deadline = time.monotonic() + (0 if self._target.cable else _GONE_S)
        while self.connection.lost is None and time.monotonic() < deadline:
            time.sleep(0.02)

    # Apps

    def list(self) -> list[dict[str, Any]]:
        """A record of each app."""
        return self._pages(APPS, "list")

    def info(self, name: str) -> dict[str, Any]:
        """All that is known of an installed app."""
        record: dict[str, Any] = self._call(APPS, "info", name)
        return _with_readable(record)

    def start(self, name: str) -> str:
        """Starts an app; its state then: "waiting" when there is too little memory for it."""
        state: str = self._call(APPS, "start", name, timeout_ms=FLASH_MS)
        return state

    def stop(self, name: str) -> None:
        """Stops an app gracefully; it stays stopped until it is started again."""
        self._call(APPS, "stop", name, timeout_ms=_STOP_MS)

    def restart(self, name: str) -> str:
        """Stops an app and starts it; its state then, as for start()."""
        state: str = self._call(APPS, "restart", name, timeout_ms=_STOP_MS)
        return state

    def uninstall(self, name: str, keep_data: bool = False) -> None:
        self._call(APPS, "uninstall", name, keep_data, timeout_ms=FLASH_MS)

    def configure(self, name: str, settings: Mapping[str, Any]) -> None:
        """Changes settings of an installed app and restarts it; None takes one back."""
        self._call(APPS, "config", name, dict(settings), timeout_ms=FLASH_MS)

    def install(
        self,
        name: str,
        program: str | Path | Image,
        /,
        settings: Mapping[str, Any] | None = None,
        *,
        wait: bool = True,
        force: bool = False,
        trial: bool = True,
        progress: Progress | None = None,
        **build: Any,
    ) -> Installed:
        """Installs a program or an image that was built, and starts it.

        Waits until a new version has passed its probation, or a first one has started;
        AppFailure when it did not. Without `trial` there is no probation this time, whatever
        the settings say of it. `force` stops and removes the old version first when there
        is no room for both. `build` is what `kod.build.build_image` takes.
        """
        image = self.build(program, **build)
        return install(
            self,
            name,
            image,
            settings or {},
            wait=wait,
            force=force,
            trial=trial,
            progress=progress,
        )

    def switch(
        self, name: str, image_id: str, settings: Mapping[str, Any], trial: bool = True
    ) -> dict[str, Any]:
        """Switches a name to an image that the device has; what an install does after sending."""
        arguments = (name, image_id, dict(settings), *(() if trial else (False,)))
        done: dict[str, Any] = self._call(APPS, "install", *arguments, timeout_ms=FLASH_MS)
        return done

    def verdict(self, name: str, probation_ms: int = 0) -> dict[str, Any]:
        """Waits for the end of a probation that lasts so long: "ok", and the traceback if not."""
        timeout_ms = probation_ms + FLASH_MS
        verdict: dict[str, Any] = self._call(APPS, "verdict", name, timeout_ms=timeout_ms)
        return _with_readable(verdict)

    def make_room(self, name: str) -> None:
        """Stops an app and removes its image, so that a new one has room."""
        self._call(APPS, "make_room", name, timeout_ms=FLASH_MS)

    def run(
        self,
        program: str | Path | Image,
        /,
        settings: Mapping[str, Any] | None = None,
        *,
        progress: Progress | None = None,
        **build: Any,
    ) -> Run:
        """Runs a program for the moment."""
        image = self.build(program, **build)
        self.send(image, progress)
        handle = self._call(APPS, "run", image.id, dict(settings or {}), timeout_ms=FLASH_MS)
        return Run(self._service(APPS).notifications(handle))

    def build(self, program: str | Path | Image, /, **options: Any) -> Image:
        """The image of a program for this device; an image is taken as it is."""
        from kod import asking
        from kod.build import build_image

        if not isinstance(program, (str, Path)):
            return program
        if "builtins" in options:
            return build_image(Path(program), **options)
        return asking.build(self, Path(program), **options)

    def send(self, image: Image, progress: Progress | None = None) -> int:
        """Sends an image unless the device has it; returns how many bytes were sent."""
        from kod.build import check_mpy

        check_mpy(image, self._firmware_facts()["mpy"])
        size = len(image.data)
        handle = self._call(APPS, "upload", image.id, size, timeout_ms=FLASH_MS)
        if handle is None:
            return 0
        apps = self._service(APPS)
        try:
            calls = (("write", [handle, piece]) for piece in pieces(image.data))
            for count, _ in enumerate(apps.call_many(calls, timeout_ms=FLASH_MS), 1):
                if progress:
                    progress(min(count * PIECE, size), size)
            apps.call("commit", [handle], timeout_ms=FLASH_MS)
        finally:
            apps.close_handle(handle)  # what was not committed is removed there
        return size

    # Logs

    def log(self, name: str | None = None, since: int = 0) -> Iterator[Line]:
        """The lines that the device has kept until now, of one app or of all."""
        now = self.about()["uptime_ms"]  # some app may print more quickly than this reads
        while entries := self._call(LOG, "read", name, since):
            for seq, ms, level, app, text in entries:
                if ms > now:
                    return
                yield Line(seq, ms, level, app, _readable(text))
            since = entries[-1][0]

    def follow(self, name: str | None = None, since: int = 0) -> Iterator[Line]:
        """Lines after number `since` as they come, until the link ends."""
        handle = self._call(LOG, "follow", name, since)
        stream = self._service(LOG).notifications(handle)
        lost = 0
        try:
            for entries in stream:
                for seq, ms, level, app, text in entries:
                    yield Line(seq, ms, level, app, _readable(text), stream.lost - lost)
                    lost = stream.lost
        finally:
            stream.close()

    # Inside

    def _firmware_facts(self) -> dict[str, Any]:
        if self._facts is None:
            self._facts = self.about()
        return self._facts

    def _service(self, uuid: str) -> RemoteService:
        if uuid not in self._open:
            self._open[uuid] = self.connection.open(uuid, 1, 0)
        return self._open[uuid]

    def _call(self, uuid: str, method: str, *arguments: Any, timeout_ms: int = 10_000) -> Any:
        return self._service(uuid).call(method, list(arguments), timeout_ms)

    def _pages(self, uuid: str, method: str) -> Records:
        """A list that comes in as many messages as it needs."""
        found: Records = []
        while page := self._call(uuid, method, len(found)):
            found += page
        return found

    def _set_clock(self) -> None:
        if not self.known.is_simulated:
            with contextlib.suppress(Exception):  # a device without a clock still runs apps
                self._call(DEVICE, "set_time", int(time.time()))


def pieces(data: bytes) -> Sequence[bytes]:
    """`data` in what one call carries."""
    return [data[at : at + PIECE] for at in range(0, len(data), PIECE)]


def _readable(text: str) -> str:
    """What the device says, with the library's functions called as in its sources."""
    if 'File "kodkod' not in text:
        return text
    from kod.names import readable

    return readable(text)


def _with_readable(record: dict[str, Any]) -> dict[str, Any]:
    if record.get("traceback"):
        record["traceback"] = _readable(record["traceback"])
    return record
