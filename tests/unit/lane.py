# Makes kodkod run on the fakes in esp32_lane/ as on an ESP32: import it before the rest of kodkod.
# What stands behind the fakes is the unix port: its timers are a thread, its interrupt the one of
# the simulated device.

import sys

import kodkod.port
import micropython as _micropython
from kodkod.port import unix

sys.path.insert(0, __file__[: __file__.rfind("/") + 1] + "esp32_lane")
import os  # noqa: E402

unix._pending = unix._find_pending()
os._raise[0] = unix.interrupt


class Micropython:
    """The module as the port sees it: nobody types here, so kbd_intr is only noted."""

    const = _micropython.const

    @staticmethod
    def kbd_intr(char):
        os._char[0] = char


from kodkod.port import esp32 as port  # noqa: E402

port.micropython = Micropython
for _name in dir(kodkod.port):
    if _name[0] != "_" and _name not in ("clock", "esp32", "unix", "unix_console"):
        delattr(kodkod.port, _name)
for _name in dir(port):
    if _name[0] != "_":
        setattr(kodkod.port, _name, getattr(port, _name))
