# The Wi-Fi connection, kept up for all. Nothing here blocks: it asks the radio's state, and never
# scans, which would stop every app for two seconds.

import asyncio

from micropython import const

from kodkod.signal import Signal

_LOOK_MS = const(200)
JOIN_LOOKS = 100  # 20 s for one network; tests make it shorter
_PAUSE_MS = const(1000)  # after a round in vain, doubling
_PAUSE_MAX_MS = const(30000)
_WHY = {  # states of an ESP32's radio
    201: "it is not there, or out of reach",
    202: "the password is wrong",
    204: "the password is wrong",  # the handshake of WPA timed out
}


class Wifi:
    """`settings` is the device's kodkod.json; `make_radio()` gives what has the methods of
    network.WLAN, when there is a network to join: until then the radio takes no memory."""

    def __init__(self, settings, make_radio):
        self.settings = settings
        self.make_radio = make_radio
        self.radio = None
        self.ssid = None  # of the network it is in, or joins
        self.is_up = False
        self.uses = []  # resources that share it and are told
        self.changed = Signal()  # up, down, or other networks to choose from
        self.losses = 0

    def say(self, text):
        """Tell the log."""
        print(self.settings["name"], text)

    def prepare(self):
        """Switch the radio on if there is a network to join: it takes its memory before apps
        take that. What fails now is tried again when it joins."""
        if self.settings["wifi"]:
            try:
                self._switch_on()
            except (OSError, RuntimeError):
                pass

    def _switch_on(self):
        if not self.radio:
            self.radio = self.make_radio()
        self.radio.active(True)

    async def run(self):
        """Keep the device in one of its known networks, for ever."""
        pause = _PAUSE_MS
        while True:
            networks = list(self.settings["wifi"])
            for ssid, password in networks:
                why = await self._join(ssid, password)
                if not why:
                    pause = _PAUSE_MS
                    await self._stay()
                    break
                if pause == _PAUSE_MS:  # once, not at each round
                    self.say("does not get into network '{}': {}".format(ssid, why))
            else:
                await self.changed.wait(pause if networks else None)
                pause = min(2 * pause, _PAUSE_MAX_MS) if networks else _PAUSE_MS

    async def _join(self, ssid, password):
        # Returns why it is not in the network, or None.
        self.ssid = ssid
        try:
            self._switch_on()
            self.radio.connect(ssid, password or None)
            for _ in range(JOIN_LOOKS):
                if self.radio.isconnected():
                    return None
                await asyncio.sleep_ms(_LOOK_MS)
            why = _WHY.get(self.radio.status(), "no answer in 20 s")
        except (OSError, RuntimeError) as exc:  # the driver is busy, has no memory, or refuses
            why = str(exc)
        self._leave()
        return why

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
        except (OSError, RuntimeError, AttributeError):  # there is nothing to leave
            pass

    def _tell(self, is_up):
        self.is_up = is_up
        self.changed.set()
        for use in list(self.uses):
            use.notify(is_up)
