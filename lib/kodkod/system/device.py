# The service `kodkod/device`: what the device is, its clock, its restart.

import asyncio
import gc
import sys

from micropython import const

from kodkod import port
from kodkod.apps import logs, upkeep
from kodkod.borrow import borrow
from kodkod.errors import Busy, UnknownMethod
from kodkod.services import registry
from kodkod.system import settings as files

VERSION = "0.1.0"

_PAGE = const(4)  # entries of about 180 bytes: the heap may have no larger piece left
_TURNS = const(5)  # of the loop, in which a host gets its answer before the restart
_TURN_MS = const(20)


class Methods:
    """`settings` is the device's kodkod.json."""

    renewal = None

    def __init__(self, provider, supervisor, settings):
        self.provider = provider
        self.kernel = supervisor.kernel
        self.store = supervisor.store
        self.settings = settings
        self.safe_mode = supervisor.safe_mode

    def do_info(self, client):
        """Names, versions, free memory and flash (bytes), uptime (ms)."""
        gc.collect()
        mpy = sys.implementation._mpy
        return {
            "name": self.settings["name"],
            "id": self.settings["id"],
            "chip": port.CHIP,
            "version": ".".join([str(n) for n in sys.implementation.version[:3]]),
            "firmware": "{} {}".format(sys.version, sys.implementation),
            "kodkod": VERSION,
            "mpy": [mpy & 0xFF, mpy >> 8 & 3],
            "free_ram": gc.mem_free(),
            "free_flash": self.store.free(),
            "uptime_ms": port.uptime_ms(),
            "boot_reason": port.reset_cause(),
            "safe_mode": self.safe_mode,
        }

    def do_has(self, client, names):
        """Those of the modules `names` that are built into the firmware or frozen in it."""
        return borrow("kodkod.system.firmware").has(names)

    def do_set_time(self, client, epoch_s):
        """Set the clock, if the platform lets it be set: seconds since 1970-01-01 UTC."""
        port.set_time(epoch_s)

    def do_watchdog(self, client, ms=None):
        """Set the hardware's watchdog, from now on and at each boot; 0: none from the next boot
        on. Returns ms."""
        if ms is not None:
            self._set("watchdog_ms", ms)
            if ms:
                upkeep.watch(ms)
        return self.settings.get("watchdog_ms", 0)

    def do_log_pool(self, client, size=None):
        """Set how many bytes the lines of all apps share. Returns it."""
        if size is not None:
            self._set("log_bytes", size)
            logs.pool = size
        return logs.pool

    def _set(self, key, value):
        changed = dict(self.settings)
        changed[key] = value
        files.save(changed)
        self.settings[key] = value

    async def do_reset(self, client):
        """Stop the apps gracefully, then restart the device."""
        host = ":" in self.provider.sessions_[client].owner.name
        self.kernel.task(self.kernel.system, self._reset(host))

    async def _reset(self, host):
        for _ in range(_TURNS if host else 0):
            await asyncio.sleep_ms(_TURN_MS)
        await self.kernel.stop_all()
        if host:  # what a person asked for is no failed boot, what an app asks for may be
            borrow("kodkod.apps.boots").lasted()
        port.reset()

    def do_renew(self, client):
        """The handle of a renewal of the library that runs here."""
        if self.renewal and not self.renewal.is_closed:
            raise Busy("another kod renews the library: wait for it")
        self.renewal = borrow("kodkod.system.renew").Renewal(self.provider, client)
        return self.renewal

    def do_renewal(self, client, handle, step, *arguments):
        """One step of it: "has", "begin", "write" or "commit" of `Renewal`."""
        renewal = self.provider.resource(client, handle)
        if step not in ("has", "begin", "write", "commit"):
            raise UnknownMethod("a renewal has no step {}".format(step))
        return getattr(renewal, step)(*arguments)

    def do_confirm(self, client):
        """A host finds the device well: a library that is on trial stays. Whether one was."""
        return borrow("kodkod.system.renew").confirm()

    def do_services(self, client, start=0):
        """What is provided, and by whom: as many from number `start` on as fit one message."""
        return registry.listing()[start : start + _PAGE]
