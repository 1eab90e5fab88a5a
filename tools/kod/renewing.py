"""A new library for a device that runs Kodkod, over a link: kod setup without a cable.

The device keeps the library that it has until one start of the new one was found well from here:
when this end does not come back to it in time, the device goes back by itself.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kod.device import DEVICE, PIECE, Device
from kod.errors import Unreachable, UserError
from kod.flash import plan
from kod.setup_device import Progress, needed_flash

if TYPE_CHECKING:
    from kod.link import RemoteService

_FLASH_MS = 30_000  # a write to flash may have to wait for an erase
_ENDS_S = 10.0  # until a device that was told to restart has ended its links


def renew(device: Device, progress: Progress = lambda what, done, total: None) -> int | None:
    """Sends what differs and has the device try it; the bytes that were sent, None when the
    device had all of it. Nothing on the device has changed when this raises."""
    from kodkod.errors import UnknownMethod

    about = device.about()
    platform = "unix" if about["chip"] == "unix" else "esp32"
    files = {path.removeprefix("lib/"): data for path, data in plan.device_files(platform).items()}
    with device.open(DEVICE) as service:
        try:
            service.call("confirm", [], _FLASH_MS)  # one that came before, and found nobody
            handle = service.call("renew", [], _FLASH_MS)
        except UnknownMethod:
            raise UserError(
                f"the library on '{device.name}' is too old to be renewed over a link; "
                "give its cable: kod setup --port PORT"
            ) from None
        try:
            return _send(service, handle, files, about["free_flash"], progress)
        finally:
            service.close_handle(handle)  # what was not committed is removed there


def _send(
    service: RemoteService, handle: int, files: dict[str, bytes], free: int, progress: Progress
) -> int | None:
    digests = {path: hashlib.sha256(data).hexdigest() for path, data in sorted(files.items())}

    def steps(what: str) -> Iterator[tuple[str, list[Any]]]:
        for path, digest in digests.items():
            yield "renewal", [handle, what, path, digest]

    total, done, sent = sum(map(len, files.values())), 0, 0
    if all(service.call_many(steps("has"), _FLASH_MS)):
        return None
    needed = needed_flash(files)
    if free < needed:
        raise UserError(
            f"the device has {free >> 10} KB of flash free, {needed >> 10} KB are needed to "
            "renew the library; kod uninstall frees some"
        )
    for path, digest in digests.items():
        data = files[path]
        if service.call("renewal", [handle, "begin", path, digest], _FLASH_MS):
            pieces = [data[at : at + PIECE] for at in range(0, len(data), PIECE)]
            calls = (("renewal", [handle, "write", piece]) for piece in pieces)
            for _ in service.call_many(calls, _FLASH_MS):
                pass
            sent += len(data)
        done += len(data)
        progress("sending", done, total)
    service.call("renewal", [handle, "commit", len(files)], _FLASH_MS)
    return sent


def try_out(device: Device, seconds: float) -> None:
    """Restarts the device with what was sent, and finds it well; UserError when it has gone back
    to the library before, Unreachable when it does not come back within `seconds`."""
    from kod.link import LinkLost

    device.reset()
    end = time.monotonic() + _ENDS_S
    while device.connection.lost is None and time.monotonic() < end:
        time.sleep(0.02)
    try:
        device.reconnect(seconds)
        with device.open(DEVICE) as service:
            stays = service.call("confirm", [], _FLASH_MS)
    except LinkLost:
        raise Unreachable(
            f"'{device.name}' did not come back within {seconds:.0f} s; it goes back to the "
            "library before by itself, two minutes after its start or when it is switched on anew"
        ) from None
    if not stays:
        raise UserError(
            f"'{device.name}' did not come up with the new library; the one before is back",
            detail=_said(device),
        )


def _said(device: Device) -> str:
    """The last lines of its own log."""
    return "\n".join([line.text for line in device.log("kodkod")][-10:])
