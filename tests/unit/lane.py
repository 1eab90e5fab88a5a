# Makes kodkod run on the fakes in esp32_lane/ as on an ESP32: import it before the rest of kodkod.
# What stands behind the fakes is the unix port: its timers are a thread, its interrupt the one of
# the simulated device.

import sys

import kodkod.port
import micropython as _micropython
from kodkod.port import unix

sys.path.insert(0, __file__[: __file__.rfind("/") + 1] + "esp32_lane")
import os  # noqa: E402

import machine  # noqa: E402

unix._pending = unix._find_pending()
os._raise[0] = unix.interrupt


class Sys:
    class implementation:
        # What lane29.py asks for, or the oldest that works.
        version = getattr(sys.modules.get("lane29"), "VERSION", (1, 26, 1))


class Micropython:
    """The module as the port sees it: nobody types here, so kbd_intr is only noted. What 1.29
    schedules comes before any other callback, and always: it has a place of its own. If one
    waits, it is raised in there."""

    const = _micropython.const

    @staticmethod
    def kbd_intr(char):
        os._char[0] = char

    @staticmethod
    def schedule(function, argument):
        assert function is Micropython.kbd_intr and argument is None
        assert Sys.implementation.version >= (1, 29)
        machine._first[0] = unix.interrupt
        try:
            _micropython.schedule(machine._run_first, None)
        except RuntimeError:  # the others in the queue see to it
            pass


notify = os.dupterm_notify
if Sys.implementation.version >= (1, 29):
    del os.dupterm_notify
_modules = {"sys": Sys, "micropython": Micropython}
_real = {name: sys.modules.get(name) for name in _modules}
sys.modules.update(_modules)
from kodkod.port import esp32 as port  # noqa: E402

for _name in _modules:
    del sys.modules[_name]
    if _real[_name]:
        sys.modules[_name] = _real[_name]
for _name in dir(kodkod.port):
    if _name[0] != "_" and _name not in ("clock", "esp32", "unix", "unix_console"):
        delattr(kodkod.port, _name)
for _name in dir(port):
    if _name[0] != "_":
        setattr(kodkod.port, _name, getattr(port, _name))
