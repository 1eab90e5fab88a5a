# The device code with port/esp32.py on fakes of stock 1.26.1's hardware modules (esp32_lane/):
# guard through timer and console slot, RTC memory, reset causes, what apps take of `machine`.
# heap: 4m
# timeout: 100

import lane  # isort: skip

import asyncio
import os

import esp32
import machine
import network
from kernel_lab import ended, from_files, kernel_test, log, settle, started
from kodkod import port
from kodkod.apps import boots, peripherals, trouble
from kodkod.port import unix

FILES = []


def names(module):
    return {name for name in dir(module) if name[0] != "_"}


# The fakes


def test_the_fakes_have_the_names_of_stock_firmware():
    stock = (
        "ADC ADCBlock DAC DEEPSLEEP DEEPSLEEP_RESET EXT0_WAKE EXT1_WAKE HARD_RESET I2C I2CTarget "
        "I2S PIN_WAKE PWM PWRON_RESET Pin PinBase RTC SDCard SLEEP SOFT_RESET SPI Signal SoftI2C "
        "SoftSPI TIMER_WAKE TOUCHPAD_WAKE Timer TouchPad UART ULP_WAKE WDT WDT_RESET bitstream "
        "bootloader deepsleep dht_readinto disable_irq enable_irq freq idle lightsleep mem16 "
        "mem32 mem8 reset reset_cause sleep soft_reset time_pulse_us unique_id wake_reason"
    )
    assert names(machine) - {"micropython", "time"} == set(stock.split())
    assert not hasattr(os, "system")
    assert not hasattr(os, "getenv")


def test_both_ports_have_the_same_names():
    modules = {"io", "machine", "micropython", "os", "sys", "time", "uctypes", "unix_console"}
    only_here = {"RESET_CODE", "MEMORY"}
    assert names(lane.port) - modules - only_here == names(unix) - modules - only_here


# The guard


def looping(kind, switch):
    while not switch:
        try:
            while not switch:
                pass
        except kind:
            pass


@kernel_test
async def test_the_guard_stops_what_loops(kernel):
    told = []

    async def ticker():
        while True:
            told.append(1)
            await asyncio.sleep_ms(10)

    other = started(kernel, ticker, name="ticker")
    for kind in (ValueError, Exception):
        before = len(told)
        app = started(kernel, looping, kind, (), name="bad", limit=60)
        await ended(app, "runaway")
        assert "in looping" in app.traceback
        while len(told) == before:  # the others go on
            await asyncio.sleep_ms(10)
        assert os._slot[0] is None  # the console slot is free again
        assert os._char[0] == -1
    await other.stop()


@kernel_test
async def test_a_handler_a_callback_and_a_child_are_stopped_as_well(kernel):
    files = {
        "main.py": "import asyncio, machine\n"
        "def spin(timer):\n    while True:\n        pass\n"
        "timer = machine.Timer(1, period=5, callback=spin)\n"
        "async def main():\n    await asyncio.sleep(1000)\n"
    }
    app = from_files(kernel, "bad", files, limit=60)
    await ended(app, "runaway")
    assert "in spin" in app.traceback
    assert not [timer for timer in machine._timers if timer._id]


@kernel_test
async def test_what_catches_every_interrupt_is_written_down_and_the_device_restarts(kernel):
    class Restarts(Exception):
        pass

    switch = []
    machine._resets.clear()

    def gone(*args):
        machine._resets.append(args)
        switch.append(True)

    before, machine._gone = machine._gone, gone
    try:
        app = started(kernel, looping, BaseException, switch, name="stubborn", limit=60)
        while not machine._resets:
            await asyncio.sleep_ms(5)
    finally:
        machine._gone = before
    assert machine._resets[0] == ("reset",)
    assert boots.culprit() == "stubborn"
    kernel.shield = 0  # it is not what a device would live to see
    trouble.note("")
    assert boots.culprit() == ""
    await app.wait()


# What outlives a reset


def test_boots_that_do_not_last_are_counted():
    machine._memory[0] = b""
    assert [boots.count() for _ in range(3)] == [1, 2, 3]
    boots.lasted()
    assert boots.count() == 1
    boots.starting("clock")
    assert boots.was_starting() == "clock"
    trouble.note("bad")
    assert (boots.culprit(), boots.was_starting(), boots.count()) == ("bad", "clock", 2)
    boots.starting()
    assert (boots.culprit(), boots.was_starting()) == ("bad", "")
    machine._memory[0] = b""
    for _ in range(300):
        count = boots.count()
    assert count == 255


def test_memory_that_a_power_cut_has_filled_with_anything_is_empty():
    for data in (b"", b"\xff" * 100, b"K1", os.urandom(80), b"\0" * 2048):
        machine._memory[0] = data
        assert (boots.culprit(), boots.was_starting(), boots.count()) == ("", "", 1), data


def test_names_of_the_greatest_length_fit():
    machine._memory[0] = b""
    name = "n" * 32
    trouble.note(name)
    boots.starting(name)
    assert (boots.culprit(), boots.was_starting()) == (name, name)
    assert len(machine._memory[0]) == port.MEMORY


def test_the_clock_is_set_by_the_seconds_since_1970():
    told = []
    before, machine.RTC.datetime = machine.RTC.datetime, lambda self, *value: told.extend(value)
    try:
        # This computer counts from 1970 where an ESP32 counts from 2000: the same day of the year.
        port.set_time(946684800 + 86400 * 59 + 3661)
    finally:
        machine.RTC.datetime = before
    assert told == [(1970, 3, 1, 6, 1, 1, 1, 0)]


def test_reset_causes():
    for cause, asked, told in (
        (machine.PWRON_RESET, False, "power"),
        (machine.HARD_RESET, True, "reset"),
        (machine.HARD_RESET, False, "panic"),
        (machine.WDT_RESET, False, "watchdog"),
        (machine.DEEPSLEEP_RESET, False, "sleep"),
        (machine.SOFT_RESET, False, "reset"),
        (0, False, "panic"),
    ):
        machine._cause[0] = cause
        lane.port._asked = asked
        assert port.reset_cause() == told, cause
    machine._cause[0] = machine.PWRON_RESET


def test_the_boot_button_is_held_only_where_something_reads_high():
    button, idle = machine.Pin(0), machine.Pin(3)
    try:
        assert not port.boot_button()
        button.off()
        assert port.boot_button()
        idle.off()  # an emulator in which no pin ever reads high
        assert not port.boot_button()
    finally:
        button.on()
        idle.on()


def test_a_reset_that_is_asked_for_leaves_word():
    machine._memory[0] = b""
    trouble.note("x")
    before, machine._gone = machine._gone, lambda *args: None
    try:
        port.reset()
    finally:
        machine._gone = before
    assert port.read_memory()[-1:] == b"R"
    assert boots.culprit() == "x"


# What apps take


def app_of(kernel, text, name="app", **options):
    text = "import asyncio, machine\n" + text
    return from_files(kernel, name, {"main.py": text}, **options)


STAY = "async def main():\n    await asyncio.sleep(1000)\n"


@kernel_test
async def test_a_pin_held_by_one_app_is_refused_to_another(kernel):
    take = "pin = machine.Pin(4, machine.Pin.OUT, value=1)\npin.off()\npin(1)\npin.toggle()\n"
    take += "assert pin.value() == 0 and isinstance(pin, machine.Pin)\n"
    take += "again = machine.Pin(4)\n" + STAY
    first = app_of(kernel, take, "first")
    await settle()
    second = app_of(kernel, take, "second")
    await ended(second, "failed")
    assert "Pin(4) is held by 'first'" in second.traceback
    assert machine._find(4)._mode == machine.Pin.OUT
    await first.stop()
    assert machine._find(4)._mode == machine.Pin.IN
    third = app_of(kernel, take, "third")
    await settle()
    assert third.is_running, log("third")
    await third.stop()
    assert not peripherals._holds


@kernel_test
async def test_drivers_are_given_native_pins(kernel):
    text = (
        "from machine import Pin, I2C, SPI, PWM, ADC, DAC, UART, Signal, TouchPad, SoftI2C, I2S\n"
        "import esp32\n"
        "bus = I2C(0, scl=Pin(22), sda=Pin(21), freq=100000)\nbus.scan()\n"
        "SoftI2C(scl=Pin(18), sda=Pin(19))\n"
        "spi = SPI(1, sck=Pin(14), mosi=Pin(13), miso=Pin(12))\nassert SPI.MSB == 0\n"
        "pwm = PWM(Pin(5), freq=1000)\nPWM(Pin(5), freq=2000).duty()\n"
        "ADC(Pin(32), atten=ADC.ATTN_11DB).read_u16()\nADC(33)\nDAC(Pin(25)).write(1)\n"
        "TouchPad(Pin(27)).read()\nuart = UART(2, tx=Pin(17), rx=Pin(16))\n"
        "Signal(Pin(26, Pin.OUT), invert=True).on()\n"
        "I2S(0, sck=Pin(2), ws=Pin(4), sd=Pin(15), mode=I2S.TX)\n"
        "machine.time_pulse_us(Pin(35), 1)\nmachine.bitstream(Pin(5), 0, (1,), b'')\n"
        "machine.dht_readinto(Pin(5), bytearray(5))\n"
        "esp32.wake_on_ext0(Pin(0), 1)\nesp32.wake_on_ext1((Pin(0), Pin(2)), 0)\n"
        "esp32.RMT(0, pin=Pin(23))\n"
    )
    app = app_of(kernel, text + STAY)
    await settle()
    assert app.is_running, log("app")
    assert len(machine._live) >= 6
    await app.stop()
    assert [type(one).__name__ for one in machine._live] == []
    assert not peripherals._holds


@kernel_test
async def test_a_bus_is_one_app_s(kernel):
    text = "machine.I2C(0, scl=machine.Pin({}), sda=machine.Pin({}))\n" + STAY
    first = app_of(kernel, text.format(22, 21), "first")
    await settle()
    second = app_of(kernel, text.format(18, 19), "second")
    await ended(second, "failed")
    assert "I2C(0) is held by 'first'" in second.traceback
    await first.stop()


@kernel_test
async def test_what_cannot_be_stopped_is_refused_with_the_reason(kernel):
    for text, reason in (
        ("machine.Timer(0)", "Timer(0) is the kernel's"),
        ("machine.Timer(1, period=1, hard=True, callback=print)", "hard=True"),
        ("machine.Pin(4).irq(print, hard=True)", "hard=True"),
        ("machine.WDT(timeout=1000)", "the watchdog is the device's"),
        ("import _thread\n_thread.start_new_thread(print, ())", "threads cannot be stopped"),
        ("import _thread\n_thread.allocate_lock()", "use asyncio.Lock"),
        ("import os\nos.dupterm(None)", "the console is the kernel's"),
    ):
        app = app_of(kernel, text + "\n", "bad")
        await ended(app, "failed")
        assert reason in app.traceback, app.traceback
    assert not [one for one in machine._live if isinstance(one, machine.WDT)]
    assert not peripherals._holds


@kernel_test
async def test_callbacks_run_as_steps_of_their_app(kernel):
    text = (
        "import kodkod\n"
        "seen = []\n"
        "def tick(timer):\n"
        "    seen.append(kodkod.apps.loader.kernel.current.name)\n"
        "    assert timer is one\n"
        "    if len(seen) == 3:\n        timer.deinit()\n        asyncio.create_task(end())\n"
        "async def end():\n    print(seen)\n    raise SystemExit(5)\n"
        "one = machine.Timer(1)\n"
        "one.init(period=3, mode=machine.Timer.PERIODIC, callback=tick)\n"
    )
    app = app_of(kernel, text + STAY)
    await ended(app, "failed", 5)
    assert log("app") == "['app', 'app', 'app']"
    failing = "def tick(timer):\n    raise ValueError('in a callback')\n"
    failing += "machine.Timer(1, mode=machine.Timer.ONE_SHOT, period=3, callback=tick)\n"
    app = app_of(kernel, failing + STAY, "failing")
    await ended(app, "failed")
    assert "in a callback" in app.traceback
    assert "in tick" in app.traceback
    pressed = (
        "def pressed(pin):\n    print(pin)\n    raise SystemExit(6)\n"
        "machine.Pin(4, machine.Pin.IN).irq(pressed, machine.Pin.IRQ_FALLING)\n"
    )
    app = app_of(kernel, pressed + STAY, "pressed")
    await settle()
    machine._find(4)._edge()
    await ended(app, "failed", 6)
    machine._find(4)._edge()  # of an app that has ended: nothing
    await settle()
    assert log("pressed") == "Pin(4)"


@kernel_test
async def test_scheduled_functions_and_their_bound(kernel):
    text = (
        "import micropython\n"
        "def late(n):\n    print(n)\n"
        "try:\n    for n in range(20):\n        micropython.schedule(late, n)\n"
        "except RuntimeError as exc:\n    print(exc)\n"
        "async def main():\n    await asyncio.sleep_ms(30)\n"
    )
    app = app_of(kernel, text)
    await ended(app, "ended", 0)
    assert log("app") == "schedule queue full\n" + "\n".join([str(n) for n in range(8)])


@kernel_test
async def test_timers_and_pins_left_behind_strike_no_more(kernel):
    from kodkod.apps import callbacks

    text = (
        "for n in (1, 2, 3):\n    machine.Timer(n, period=2, callback=lambda t: None)\n"
        "for n in (4, 5):\n    machine.Pin(n).irq(lambda p: None)\n"
    )
    for _ in range(3):
        app = app_of(kernel, text + STAY)
        await asyncio.sleep_ms(20)
        await app.stop()
        assert [timer._id for timer in machine._timers] == [0]  # the guard's
        assert machine._find(4)._handler is None
        assert not callbacks._sources
        assert not peripherals._holds


@kernel_test
async def test_a_restart_asked_by_an_app_lets_the_others_end_first(kernel):
    told = []

    async def tidy():
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep_ms(5)
            told.append("tidied")

    other = started(kernel, tidy, name="other")
    await settle()
    resets = []
    before, machine._gone = machine._gone, lambda *args: resets.append((args, list(told)))
    try:
        app = app_of(kernel, "machine.deepsleep(5000)\n")
        await app.wait()
        await other.wait()
        while not resets:
            await asyncio.sleep_ms(1)
    finally:
        machine._gone = before
    assert resets == [(("deepsleep", 5000), ["tidied"])]
    assert app.code == 0


@kernel_test
async def test_rtc_memory_is_shared_but_for_the_kernel_s_part(kernel):
    machine._memory[0] = b""
    trouble.note("someone")
    text = (
        "rtc = machine.RTC()\nassert rtc.memory() == b''\nrtc.memory(b'mine' * 100)\n"
        "assert rtc.memory() == b'mine' * 100\nrtc.datetime()\n"
    )
    await ended(app_of(kernel, text), "ended", 0)
    boots.starting("x")
    assert (boots.culprit(), boots.was_starting()) == ("someone", "x")
    text = "assert machine.RTC().memory() == b'mine' * 100\n"
    await ended(app_of(kernel, text), "ended", 0)


@kernel_test
async def test_a_script_that_joins_wifi_finds_itself_connected(kernel):
    network.WLAN(0).connect("home", "secret")
    network._calls.clear()
    text = (
        "import network, time\n"
        "wlan = network.WLAN(network.STA_IF)\nwlan.active(False)\nwlan.active(True)\n"
        "wlan.disconnect()\n"
        "if not wlan.isconnected():\n    wlan.connect('other', 'pw')\n"
        "wlan.connect('other', 'pw')\n"
        "while not wlan.isconnected():\n    time.sleep(1)\nprint(wlan.ifconfig()[0])\n"
        "ap = network.WLAN(network.AP_IF)\nap.active(True)\nap.config(essid='mine')\n"
    )
    app = app_of(kernel, text + STAY)
    await settle()
    assert app.is_running, log("app")
    assert log("app") == "192.168.4.2"
    assert not network._calls
    assert network.WLAN._state == [[False, True], [True, False]] or network.WLAN(1).active()
    await app.stop()
    assert not network.WLAN(1).active()
    assert network.WLAN(0).isconnected()


@kernel_test
async def test_from_machine_import_everything(kernel):
    text = "from machine import *\npin = Pin(4, Pin.OUT)\nassert Timer and I2C and reset\n" + STAY
    app = app_of(kernel, text)
    await settle()
    assert app.is_running, log("app")
    await app.stop()
    assert esp32
