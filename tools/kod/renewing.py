"""A new library for a device that runs Kodkod, over a link: kod setup without a cable.

The device keeps the library that it has until one start of the new one was found well from here:
when this end does not come back to it in time, the device goes back by itself.
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

from kod.device import DEVICE, FLASH_MS, Device, pieces
from kod.errors import Unreachable, UserError
from kod.flash import plan
from kod.setup_device import Progress, check_room

if TYPE_CHECKING:
    from kod.remote_service import RemoteService

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
            service.call("confirm", [], FLASH_MS)  # one that came before, and found nobody
            handle = service.call("renew", [], FLASH_MS)
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
    asked = (("renewal", [handle, "has", path, digest]) for path, digest in digests.items())
    there = dict(zip(digests, service.call_many(asked, FLASH_MS), strict=True))
    if all(there.values()):
        return None
    check_room(files, free, "kod uninstall frees some")
    total, done, sent = sum(map(len, files.values())), 0, 0
    for path, digest in digests.items():
        data = files[path]
        service.call("renewal", [handle, "begin", path, digest, there[path]], FLASH_MS)
        if not there[path]:
            calls = (("renewal", [handle, "write", piece]) for piece in pieces(data))
            for _ in service.call_many(calls, FLASH_MS):
                pass
            sent += len(data)
        done += len(data)
        progress("sending", done, total)
    service.call("renewal", [handle, "commit", len(files)], FLASH_MS)
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
            stays = service.call("confirm", [], FLASH_MS)
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
