"""An install, to its end: sent, switched to, and waited for until the device has judged it."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kod.errors import BadInput, UserError

if TYPE_CHECKING:
    from kod.build import Image
    from kod.device import Device

    Progress = Callable[[int, int], None]

_SETTLE_S = 0.3  # in which a first version shows whether it starts at all
_LOSSES = 5  # links lost while one verdict is waited for: a new version may restart the device


@dataclass(frozen=True)
class Installed:
    """What an install did. `sent` is 0 when the device had the image."""

    name: str
    id: str
    size: int
    sent: int
    replaced: bool
    unchanged: bool
    seconds: float


def check_name(name: str) -> str:
    """`name`, unless a device would refuse it for an app."""
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", name) or name in ("kod", "kodkod"):
        why = "it is Kodkod's own" if name in ("kod", "kodkod") else "a letter comes first"
        raise BadInput(f"{name!r} cannot name an app: take 1 to 32 of a-z 0-9 _ -; {why}")
    return name


MEMORY_WAY_OUT = "kod stop or uninstall another app"


class AppFailure(UserError):
    """The app does not do what it was installed for; `detail` is its traceback."""


def waits_for_memory(record: Mapping[str, Any]) -> bool:
    """Whether an app was not started, since the device has too little memory for it."""
    is_waiting = record.get("state") == "waiting" and record.get("reason") == "memory"
    return is_waiting and record.get("code") is None


def install(
    device: Device,
    name: str,
    image: Image,
    settings: Mapping[str, Any],
    *,
    wait: bool = True,
    force: bool = False,
    trial: bool = True,
    progress: Progress | None = None,
) -> Installed:
    """Sends `image` and switches `name` to it; with `wait`, AppFailure when it does not work."""
    check_name(name)
    began = time.monotonic()
    sent = _send(device, name, image, progress, force)
    done = _switch(device, name, image, settings, wait, trial)
    if wait and not done["unchanged"]:
        if done["probation_ms"]:
            _await_verdict(device, name, image, done["probation_ms"])
        else:
            _look(device, name)
    return Installed(
        name=name,
        id=image.id,
        size=len(image.data),
        sent=sent,
        replaced=done["replaced"],
        unchanged=done["unchanged"],
        seconds=time.monotonic() - began,
    )


def _send(device: Device, name: str, image: Image, progress: Progress | None, force: bool) -> int:
    from kodkod.errors import KodkodError, StorageFull

    try:
        return device.send(image, progress)
    except StorageFull:
        if not force:
            raise
    device.make_room(name)
    try:
        return device.send(image, progress)
    except StorageFull:
        with contextlib.suppress(KodkodError):  # its image is there when another app needs it too
            device.start(name)
        raise


def _switch(
    device: Device, name: str, image: Image, settings: Mapping[str, Any], wait: bool, trial: bool
) -> dict[str, Any]:
    from kod.link import LinkLost

    try:
        return device.switch(name, image.id, settings, trial)
    except LinkLost:
        if not wait:
            raise
        device.reconnect()  # a new version that restarts the device at once: was it switched to?
        record = device.info(name)
        if record["id"] != image.id and device.verdict(name)["ok"]:
            raise
        replaced = record["previous"] is not None or record["id"] != image.id
        return {"replaced": replaced, "unchanged": False, "probation_ms": int(replaced)}


def _await_verdict(device: Device, name: str, image: Image, probation_ms: int) -> None:
    """Waits for the end of the probation, also over restarts of the device."""
    from kod.link import LinkLost

    for losses in range(_LOSSES + 1):
        try:
            verdict = device.verdict(name, probation_ms)
            if losses and verdict["ok"] and device.info(name)["id"] != image.id:
                verdict = {"ok": False, "traceback": "the device restarted during its probation"}
            break
        except LinkLost:
            if losses == _LOSSES:
                raise
            device.reconnect()
    if not verdict["ok"]:
        record = device.info(name)
        again = "starts when there is memory for it" if waits_for_memory(record) else "runs again"
        raise AppFailure(
            f"the new version of '{name}' failed; the one before it {again} (kod logs {name})",
            detail=verdict["traceback"] or "",
        )


def _look(device: Device, name: str) -> None:
    time.sleep(_SETTLE_S)
    record = device.info(name)
    if waits_for_memory(record):
        raise AppFailure(
            f"'{name}' is installed and starts when there is memory for it; {MEMORY_WAY_OUT}"
        )
    state = record.get("state")
    if state == "quarantined" or (state != "running" and record.get("code")):
        why = record["reason"] or state
        raise AppFailure(
            f"'{name}' is installed but failed ({why}); kod logs {name}",
            detail=record.get("traceback") or "",
        )
