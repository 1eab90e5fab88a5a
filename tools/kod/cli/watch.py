"""kod watch: what is saved runs."""

from __future__ import annotations

import argparse
import contextlib
import json
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from kod.cli.build import add_build, built
from kod.cli.devices import on_host, one
from kod.cli.mistakes import detail_of
from kod.cli.output import Output, paint
from kod.cli.parse import add_device, app_name
from kod.cli.settings import define_option, limits, settings_of
from kod.errors import BadInput, UserError, exit_code
from kod.watching import PAUSE_S, Files

if TYPE_CHECKING:
    from kod.build import Image
    from kod.cli.build import Build
    from kod.device import Device, Run

_GONE_S = 3.0  # that an app has for its `finally` blocks before the next one starts
_ERROR = 3


def _arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("file", type=Path, help="the program; it, and all that it imports, is watched")
    add("args", nargs="*", help="arguments for its main; behind -- also those that begin with -")
    add("--install", type=app_name, metavar="NAME", help="reload this installed app")
    limits(parser)
    define_option(parser)
    add_build(parser)
    add_device(parser)


def _watch(args: argparse.Namespace, out: Output) -> int:
    settings = settings_of(args)
    if on_host(args):
        if args.install:
            raise BadInput("--install is for devices")
        _follow(args, out, OnHost(args.file.stem, settings, out))
        return 0
    with one(args) as device:
        place = (
            Installed(device, args.install, settings, out)
            if args.install
            else Running(device, settings, out)
        )
        _follow(args, out, place)
    return 0


class Place(Protocol):
    """Where the program runs."""

    where: str
    build: Build  # makes the image of a program for this place

    def load(self, image: Image) -> None:
        """Replaces what runs by `image`."""

    def runs(self) -> bool:
        """Whether what was loaded last has not ended."""

    def lost(self) -> bool:
        """Whether the link is gone, and with it what ran."""

    def back(self) -> None:
        """Connects again."""

    def stop(self) -> None: ...


def _follow(args: argparse.Namespace, out: Output, place: Place) -> None:
    """Builds and loads at each save, until Ctrl-C."""
    files = Files(args.file, *([args.assets] if args.assets else []))
    loaded: Image | None = None
    complaint = ""
    try:
        while True:
            began = time.monotonic()
            if place.lost():
                place.back()
                loaded = None
            try:
                image = files.build(lambda: built(args, out, place.build))
                complaint = ""
                if loaded is None or image.id != loaded.id:
                    place.load(image)
                    loaded = image
                    _say(args, out, place, image, time.monotonic() - began)
            except Exception as error:
                if exit_code(error) is None:
                    raise
                if str(error) != complaint:
                    complaint = str(error)
                    _complain(error, loaded is not None and place.runs(), out)
            while not files.changed() and not place.lost():
                time.sleep(PAUSE_S)
                _check_reader()
    finally:
        place.stop()


def _check_reader() -> None:
    """BrokenPipeError when nobody reads the output any more, whoever writes it."""
    if hasattr(select, "poll"):  # not on Windows
        poller = select.poll()
        poller.register(sys.stdout.fileno(), 0)
        gone = select.POLLERR | select.POLLHUP  # Linux, macOS
        if any(event & gone for _, event in poller.poll(0)):
            raise BrokenPipeError


def _say(
    args: argparse.Namespace, out: Output, place: Place, image: Image, seconds: float
) -> None:
    out.note(f"{paint(args.file.name, 'green', sys.stderr)} runs {place.where} ({seconds:.2f} s)")
    if out.as_json:
        out.json({"event": "running", "id": image.id, "seconds": round(seconds, 3)})


def _complain(error: Exception, is_running: bool, out: Output) -> None:
    if detail := detail_of(error):
        out.note(detail.rstrip())
    out.note(f"kod: {error}" + ("; what runs goes on" if is_running else ""))
    if out.as_json:
        out.json({"event": "error", "error": str(error), "type": type(error).__name__})


class Running:
    """The program as an app for the moment."""

    def __init__(self, device: Device, settings: dict[str, Any], out: Output) -> None:
        self.where = f"on '{device.name}'"
        self.build: Build = device.build
        self._device = device
        self._settings = settings
        self._out = out
        self._run: Run | None = None
        self._name: str | None = None
        self._thread: threading.Thread | None = None

    def load(self, image: Image) -> None:
        self._device.send(image)  # beside the one that runs
        self.stop()
        before = self._runs()
        self._run = self._device.run(image, self._settings)
        self._name = next(iter(self._runs() - before), None)
        self._thread = threading.Thread(target=self._show, args=(self._run,), daemon=True)
        self._thread.start()

    def _runs(self) -> set[str]:
        return {app["name"] for app in self._device.list() if app["name"].startswith("run-")}

    def _show(self, run: Run) -> None:
        from kod.link import LinkLost

        with contextlib.suppress(LinkLost, BrokenPipeError):
            for ms, level, line in run.lines():
                show(self._out, ms, level, line)
        if run.code is not None:
            self._out.note(f"{run.reason} (code {run.code}); the next save runs it again")

    def runs(self) -> bool:
        return self._run is not None and self._run.code is None

    def lost(self) -> bool:
        return self._device.connection.lost is not None

    def back(self) -> None:
        self._run = None
        self._device.reconnect()

    def stop(self) -> None:
        """Waits until it is gone: the next one may want what it holds."""
        run, self._run = self._run, None
        if not run:
            return
        run.close()
        if self._thread:
            self._thread.join(_GONE_S)
        deadline = time.monotonic() + _GONE_S
        with contextlib.suppress(Exception):  # a lost line has ended it too
            while self._name in self._runs() and time.monotonic() < deadline:
                time.sleep(0.02)


class Installed:
    """The program as an installed app, whose other settings stay."""

    def __init__(self, device: Device, name: str, settings: dict[str, Any], out: Output) -> None:
        self.where = f"as '{name}' on '{device.name}'"
        self.build: Build = device.build
        self._device = device
        self._name = name
        self._settings = settings
        self._out = out
        self._thread: threading.Thread | None = None

    def load(self, image: Image) -> None:
        from kodkod.errors import AppNotFound

        try:
            before = self._device.info(self._name)["settings"]
        except AppNotFound:
            before = {}
        if self._thread is None:
            since = max((line.seq for line in self._device.log(self._name)), default=0)
            self._thread = threading.Thread(target=self._show, args=(since,), daemon=True)
            self._thread.start()
        settings = {**before, **self._settings}
        self._device.install(self._name, image, settings, wait=False, trial=False)

    def _show(self, since: int) -> None:
        from kod.link import LinkLost

        with contextlib.suppress(LinkLost, BrokenPipeError):
            for line in self._device.follow(self._name, since):
                show(self._out, line.ms, line.level, line.text)

    def runs(self) -> bool:
        from kodkod.errors import KodkodError

        with contextlib.suppress(KodkodError, UserError):
            return bool(self._device.info(self._name)["state"] == "running")
        return False

    def lost(self) -> bool:
        return self._device.connection.lost is not None

    def back(self) -> None:
        self._thread = None
        self._device.reconnect()

    def stop(self) -> None:
        """It is installed: it goes on."""


class OnHost:
    """The program on this computer."""

    where = "on this computer"

    def __init__(self, name: str, settings: dict[str, Any], out: Output) -> None:
        from kod import host

        self.build: Build = host.build
        self._name = name
        self._options = _options(settings)
        self._out = out
        self._child: subprocess.Popen[str] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="kod-watch-")

    def load(self, image: Image) -> None:
        self._end()
        path = Path(self._folder.name, f"{self._name}.kod")
        path.write_bytes(image.data)
        command = [sys.executable, "-u", "-m", "kod", "run", "-d", "host", str(path)]
        as_json = ["--json"] if self._out.as_json else []
        self._child = subprocess.Popen(
            [*command, *as_json, *self._options],
            start_new_session=True,
            stdout=subprocess.PIPE if as_json else None,
            text=True,
        )
        if self._child.stdout:
            threading.Thread(target=self._show, args=(self._child.stdout,), daemon=True).start()

    def _show(self, lines: Iterable[str]) -> None:
        with contextlib.suppress(BrokenPipeError):
            for line in lines:
                self._out.json({"event": "log", **json.loads(line)})

    def runs(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def lost(self) -> bool:
        return False

    def back(self) -> None: ...

    def stop(self) -> None:
        self._end()
        self._folder.cleanup()

    def _end(self) -> None:
        child, self._child = self._child, None
        if child and child.poll() is None:
            child.send_signal(signal.SIGINT)
            try:
                child.wait(2 * _GONE_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _options(settings: dict[str, Any]) -> list[str]:
    """The options and arguments of kod run that say the same."""
    options = []
    for key, value in settings.get("defines", {}).items():
        options += ["-D", f"{key}={json.dumps(value)}"]
    for name in ("timeout", "limit"):
        if f"{name}_ms" in settings:
            options += [f"--{name}", f"{settings[f'{name}_ms']}ms"]
    return [*options, "--", *settings.get("args", [])]


def show(out: Output, ms: int, level: int, text: str) -> None:
    """A line of the app that runs."""
    if out.as_json:
        out.json({"event": "log", "ms": ms, "level": level, "text": text})
    else:
        out.line(paint(text, "red") if level == _ERROR else text)


VERBS = {"watch": (_arguments, _watch)}
