# The Wi-Fi connection, kept up for all. Nothing here blocks: it asks the radio's state, and never
# scans, which would stop every app for two seconds.

import asyncio

from micropython import const

from kodkod.channel import Signal

_LOOK_MS = const(200)
_JOIN_LOOKS = const(100)  # 20 s for one network
_PAUSE_MS = const(1000)  # after a round in vain, doubling
_PAUSE_MAX_MS = const(30000)


class Wifi:
    """`settings` is the device's kodkod.json; `radio` has the methods of network.WLAN;
    `say(text)` tells the log."""

    def __init__(self, settings, radio, say):
        self.say = say
        self.settings = settings
        self.radio = radio
        self.ssid = None  # of the network it is in, or joins
        self.is_up = False
        self.uses = []  # resources that share it and are told
        self.changed = Signal()  # up, down, or other networks to choose from
        self.losses = 0

    async def run(self):
        """Keep the device in one of its known networks, for ever."""
        pause = _PAUSE_MS
        while True:
            self._turn_on()
            for ssid, password in list(self.settings["wifi"]):
                if await self._join(ssid, password):
                    pause = _PAUSE_MS
                    await self._stay()
                    break
            else:
                await self.changed.wait(pause)
                pause = min(2 * pause, _PAUSE_MAX_MS)

    def _turn_on(self):
        try:
            self.radio.active(True)
        except OSError:  # no memory for it now: the next round
            pass

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
        joined = self.ssid
        address = self.radio.ifconfig()[0]
        self.say("in network '{}' at {}:{}".format(joined, address, self.settings["port"]))
        self._tell(True)
        while self.radio.isconnected() and joined == self.ssid:
            await asyncio.sleep_ms(_LOOK_MS)
        self.losses += 1
        self.say("network '{}' is lost".format(joined))
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
