# What an app sees as `network`: the station is the device's, which joins its networks by itself.
# A script that connects as on a bare device finds itself connected.

import network as _network

from kodkod.apps import loader


class WLAN:
    """As network.WLAN. An access point that the app starts ends with it."""

    def __init__(self, interface=0):
        self._native = _network.WLAN(interface)
        self._shared = interface == _network.STA_IF

    def __getattr__(self, name):
        return getattr(self._native, name)

    def active(self, on=None):
        """Whether it is on; the station stays on once it is."""
        if on is None or (self._shared and not on):
            return self._native.active()
        owned = loader.kernel.current.owned
        if on and not self._shared and self not in owned:
            owned.append(self)
        return self._native.active(on)

    def connect(self, *args, **options):
        """Join a network, unless the device is in one."""
        if not self._native.isconnected():
            self._native.connect(*args, **options)

    def disconnect(self):
        """Nothing: others use it."""
        if not self._shared:
            self._native.disconnect()

    def close(self):
        """The app has ended."""
        self._native.active(False)


def network(app, view):
    """For `import network`."""
    view.WLAN = WLAN
