# The shared network connection, over a radio that is a fake: it stands for the hardware.

import asyncio
import io
import json
import os

from harness import raises
from kodkod import port
from kodkod.errors import StorageFull
from kodkod.services import ServiceClient, ServiceResourceProxy, ServiceSelector
from kodkod.system import settings as files
from kodkod.system import wifi
from kodkod.system.provider import SystemProvider
from kodkod.system.wifi import Wifi

SELECTOR = ServiceSelector("b7f2a1de-0004-4c1e-9a53-6b6f646b6f64", 1, 0)


class FakeRadio:
    """A station that joins the networks in `reach` {ssid: password or None}."""

    def __init__(self, reach):
        self.reach = reach
        self.joined = None
        self.tried = []
        self.fails = 0  # how often connect raises
        self.state = 1001
        self.no_memory = 0  # how often active raises
        self.is_active = False

    def active(self, on):
        if self.no_memory:
            self.no_memory -= 1
            raise OSError("WiFi Out of Memory")
        self.is_active = on

    def connect(self, ssid, password):
        self.tried.append((ssid, password))
        if not self.is_active:
            raise OSError("Wifi Not Started")
        if self.fails:
            self.fails -= 1
            raise OSError("Wifi Internal State Error")
        if ssid in self.reach and self.reach[ssid] == password:
            self.joined = ssid

    def disconnect(self):
        self.joined = None

    def isconnected(self):
        return self.joined in self.reach

    def status(self):
        return self.state

    def ifconfig(self):
        return ("192.0.2.7", "255.255.255.0", "192.0.2.1", "192.0.2.1")


async def up(wifi, state=True):
    for _ in range(100):
        if wifi.is_up is state:
            return
        await asyncio.sleep_ms(20)
    raise AssertionError("network is not " + ("up" if state else "down"))


class Lab:
    """A provider on a fake radio, installed, running."""

    def __init__(self, wifi, radio):
        self.radio = radio
        settings = {"name": "lab", "port": 9190, "wifi": wifi}
        self.said = []
        self.wifi = Wifi(settings, lambda: radio)
        self.wifi.say = self.said.append
        self.provider = SystemProvider("network", 4, settings, self.wifi)

    async def __aenter__(self):
        self.provider.install()
        self.task = asyncio.create_task(self.wifi.run())
        self.client = await ServiceClient(SELECTOR).open()
        return self

    async def __aexit__(self, *exc):
        self.task.cancel()
        self.client.close()
        await self.provider.uninstall()

    def call(self, method, *arguments):
        return self.client.invoke(method, list(arguments))


async def test_an_open_network_is_joined_without_a_password():
    async with Lab([["cafe", ""]], FakeRadio({"cafe": None})) as lab:
        await up(lab.wifi)
        assert lab.radio.tried == [("cafe", None)]
        info = await lab.call("info")
        assert (info["up"], info["ssid"], info["address"]) == (True, "cafe", "192.0.2.7")
        assert lab.said == ["in network 'cafe' at 192.0.2.7:9190"]


async def test_a_driver_that_refuses_is_asked_again():
    radio = FakeRadio({"home": "secret"})
    radio.fails = 1
    async with Lab([["home", "secret"]], radio) as lab:
        await up(lab.wifi)
        assert len(radio.tried) == 2


async def test_a_radio_without_memory_is_asked_again_and_the_log_says_why():
    radio = FakeRadio({"home": "secret"})
    radio.fails = 1
    async with Lab([["home", "secret"]], radio) as lab:
        await up(lab.wifi)
        assert lab.said[0] == "does not get into network 'home': Wifi Internal State Error"


async def test_the_radio_takes_its_memory_before_it_joins_anything():
    for refusals in (0, 1):
        radio = FakeRadio({"home": "secret"})
        radio.no_memory = refusals
        early = Wifi({"name": "lab", "port": 9190, "wifi": [["home", "secret"]]}, lambda: radio)
        early.prepare()
        assert (radio.is_active, radio.tried) == (not refusals, [])
    radio = FakeRadio({"home": "secret"})
    unwanted = Wifi({"name": "lab", "port": 9190, "wifi": []}, lambda: radio)
    unwanted.prepare()
    assert (radio.is_active, unwanted.radio) == (False, None)


async def test_without_a_known_network_the_radio_is_left_alone():
    radio = FakeRadio({"home": "secret"})
    async with Lab([], radio) as lab:
        await asyncio.sleep_ms(20)
        assert (radio.is_active, lab.wifi.radio) == (False, None)
        assert (await lab.call("info"))["up"] is False
        lab.wifi.settings["wifi"] = [["home", "secret"]]
        lab.wifi.changed.set()
        await up(lab.wifi)
        assert radio.is_active


async def test_a_wrong_password_and_a_missing_network_are_said_once():
    wifi.JOIN_LOOKS = 1
    radio = FakeRadio({"home": "secret"})
    radio.state = 202
    try:
        async with Lab([["home", "wrong"]], radio) as lab:
            while len(radio.tried) < 3:
                lab.wifi.changed.set()
                await asyncio.sleep_ms(50)
            assert lab.said == ["does not get into network 'home': the password is wrong"]
    finally:
        wifi.JOIN_LOOKS = 100


async def test_a_radio_that_finds_no_memory_or_was_turned_off_is_turned_on_again():
    radio = FakeRadio({"home": "secret"})
    radio.no_memory = 1
    async with Lab([["home", "secret"]], radio) as lab:
        await up(lab.wifi)
        radio.active(False)  # somebody at the prompt
        radio.joined = None
        while not lab.wifi.losses or not lab.wifi.is_up:
            await asyncio.sleep_ms(20)
        assert radio.is_active


class Told(ServiceResourceProxy):
    def __init__(self, client, handle):
        self.states = []
        super().__init__(client, handle)

    def on_notified(self, state):
        self.states.append(state)


async def test_users_are_counted_and_told_of_loss_and_return():
    async with Lab([["home", "secret"]], FakeRadio({"home": "secret"})) as lab:
        await up(lab.wifi)
        told = Told(lab.client, await lab.call("use"))
        assert (await lab.call("info"))["uses"] == 1
        reach, lab.radio.reach = lab.radio.reach, {}
        await up(lab.wifi, False)
        lab.radio.reach = reach
        lab.wifi.changed.set()  # the pause between rounds is over
        await asyncio.sleep_ms(0)
        lab.radio.joined = "home"
        await up(lab.wifi)
        await asyncio.sleep_ms(20)
        assert told.states == [True, False, True]
        told.close()
        info = await lab.call("info")
        assert (info["uses"], info["losses"]) == (0, 1)


async def test_known_networks_are_listed_added_and_removed_and_never_tell_a_password():
    path = "network_settings.json"
    before, files._PATH = files._PATH, path
    try:
        async with Lab([["home", "secret"]], FakeRadio({"home": "secret"})) as lab:
            await up(lab.wifi)
            await lab.call("wifi_add", "cafe")
            assert await lab.call("wifi") == ["home", "cafe"]
            with open(path) as file:
                assert json.load(file)["wifi"] == [["home", "secret"], ["cafe", ""]]
            assert await lab.call("wifi_remove", "home") is True
            assert await lab.call("wifi_remove", "nowhere") is False
            assert await lab.call("wifi") == ["cafe"]
            await up(lab.wifi, False)
    finally:
        files._PATH = before
        os.remove(path)


async def test_without_a_radio_the_network_is_there():
    assert port.radio("lab") is None  # on this computer
    provider = SystemProvider("network", 4, {"name": "lab", "wifi": []}, None)
    provider.install()
    client = await ServiceClient(SELECTOR).open()
    assert (await client.invoke("info", []))["up"] is True
    client.close()
    await provider.uninstall()


def test_settings_that_find_no_room_leave_the_old_ones_and_say_so():
    class Full(io.IOBase):
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def write(self, text):
            raise OSError(28)

    path = "network_settings.json"
    before, files._PATH = files._PATH, path
    native = files.flash.open
    try:
        files.save({"name": "desk"})
        files.flash.open = lambda *args: native(*args).close() or Full()
        with raises(StorageFull, "flash is full; kod uninstall frees some"):
            files.save({"name": "shed"})
        files.flash.open = native
        assert files.load()["name"] == "desk"
        assert path + ".new" not in os.listdir()
    finally:
        files._PATH, files.flash.open = before, native
        os.remove(path)
