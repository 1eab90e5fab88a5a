# The service `kodkod/network`: one Wi-Fi connection, kept up and shared between apps.
# Nothing here blocks: it asks the radio's state and never scans, which would stop every app.

import asyncio

from micropython import const

from kodkod import port
from kodkod.channel import Signal
from kodkod.services import ServiceResource
from kodkod.system import settings as files
from kodkod.system.provider import SystemProvider

_LOOK_MS = const(200)
_JOIN_LOOKS = const(100)  # 20 s for one network
_PAUSE_MS = const(1000)  # after a round in vain, doubling
_PAUSE_MAX_MS = const(30000)


class Use(ServiceResource):
    """One user of the connection. Notifies True or False as it comes and goes."""

    def __init__(self, provider, client):
        super().__init__(provider, client, notifiable=True)
        self.uses = provider.uses
        self.uses.append(self)

    def on_closed(self):
        self.uses.remove(self)


class NetworkProvider(SystemProvider):
    """`settings` is the device's kodkod.json; `radio` has the methods of network.WLAN."""

    def __init__(self, settings, radio):
        super().__init__("kodkod/network", 4)
        self.settings = settings
        self.radio = radio
        self.ssid = None  # of the network it is in, or joins
        self.is_up = radio is None
        self.uses = []
        self.changed = Signal()  # up, down, or other networks to choose from
        self.losses = 0

    # What the radio does

    async def run(self):
        """Keep the device in one of its known networks, for ever."""
        pause = _PAUSE_MS
        self.radio.active(True)
        while True:
            for ssid, password in list(self.settings["wifi"]):
                if await self._join(ssid, password):
                    pause = _PAUSE_MS
                    await self._stay()
                    break
            else:
                await self.changed.wait(pause)
                pause = min(2 * pause, _PAUSE_MAX_MS)

    async def _join(self, ssid, password):
        self.ssid = ssid
        try:
            self.radio.connect(ssid, password or None)
            for _ in range(_JOIN_LOOKS):
                if self.radio.isconnected():
                    return True
                await asyncio.sleep_ms(_LOOK_MS)
        except OSError:  # the driver is busy or refuses: the next network, or the next round
            pass
        self._leave()
        return False

    async def _stay(self):
        self._tell(True)
        joined = self.ssid
        while self.radio.isconnected() and joined == self.ssid:
            await asyncio.sleep_ms(_LOOK_MS)
        self.losses += 1
        self._leave()
        self._tell(False)

    def _leave(self):
        self.ssid = None
        try:
            self.radio.disconnect()
        except OSError:
            pass

    def _tell(self, is_up):
        self.is_up = is_up
        self.changed.set()
        for use in list(self.uses):
            use.notify(is_up)

    # What others ask

    def do_info(self, client):
        """State, network, address, and how many use it."""
        address = self.radio.ifconfig()[0] if self.radio and self.is_up else port.BIND
        return {
            "up": self.is_up,
            "ssid": self.ssid,
            "address": address,
            "uses": len(self.uses),
            "losses": self.losses,
        }

    def do_use(self, client):
        """Share the connection: a resource that notifies of its loss and return."""
        use = Use(self, client)
        use.notify(self.is_up)
        return use

    def do_wifi(self, client):
        """Names of the known networks, the preferred one first."""
        return [entry[0] for entry in self.settings["wifi"]]

    def do_wifi_add(self, client, ssid, password=""):
        """Know a network (open: no password), or its new password."""
        known = [entry for entry in self.settings["wifi"] if entry[0] != ssid]
        self._know(known + [[ssid, password]])

    def do_wifi_remove(self, client, ssid):
        """Forget a network; True if it was known. A device that is in it leaves it."""
        known = [entry for entry in self.settings["wifi"] if entry[0] != ssid]
        if len(known) == len(self.settings["wifi"]):
            return False
        self._know(known)
        if self.ssid == ssid:
            self.ssid = None
        return True

    def _know(self, known):
        changed = dict(self.settings)
        changed["wifi"] = known
        files.save(changed)
        self.settings["wifi"] = known
        self.changed.set()
