# A fake of MicroPython's `network` on an ESP32: one station, one access point.

STA_IF = 0
AP_IF = 1
MODE_11B = 1
MODE_11G = 2
MODE_11N = 4
MODE_LR = 8
AUTH_OPEN = 0
AUTH_WPA2_PSK = 3
STAT_IDLE = 1000
STAT_CONNECTING = 1001
STAT_GOT_IP = 1010
STAT_NO_AP_FOUND = 201
STAT_WRONG_PASSWORD = 202
_calls = []


class WLAN:
    IF_STA = 0
    IF_AP = 1
    PM_NONE = 0
    PM_PERFORMANCE = 1

    _state = [[True, False], [False, False]]  # active, connected

    def __init__(self, interface=0):
        self._interface = interface

    def active(self, *on):
        if on:
            self._state[self._interface][0] = bool(on[0])
        return self._state[self._interface][0]

    def connect(self, *args, **options):
        _calls.append(args)
        self._state[self._interface][1] = True

    def disconnect(self):
        self._state[self._interface][1] = False

    def isconnected(self):
        return self._state[self._interface][1]

    def config(self, *args, **options):
        return args and ""

    def ifconfig(self, *values):
        return ("192.168.4.2", "255.255.255.0", "192.168.4.1", "192.168.4.1")

    def ipconfig(self, *args, **options):
        return ()

    def scan(self):
        return []

    def status(self, *args):
        return STAT_GOT_IP


class LAN:
    pass


class PPP:
    pass


def hostname(*name):
    return "esp32"


def country(*code):
    return "XX"


def phy_mode(*mode):
    return 7


def ipconfig(*args, **options):
    return ()
