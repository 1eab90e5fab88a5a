# The service `kodkod/network`: the connection that apps share, and the networks it knows.

from kodkod import port
from kodkod.services import ServiceResource
from kodkod.system import settings as files


class Use(ServiceResource):
    """One user of the connection. Notifies True or False as it comes and goes."""

    def __init__(self, provider, client, uses):
        super().__init__(provider, client, notifiable=True)
        self.uses = uses
        uses.append(self)

    def on_closed(self):
        self.uses.remove(self)


class Methods:
    """`wifi` is None where there is no radio: then the network is there by itself."""

    def __init__(self, provider, settings, wifi):
        self.provider = provider
        self.settings = settings
        self.wifi = wifi
        self.uses = wifi.uses if wifi else []

    def do_info(self, client):
        """State, network, address, and how many use it."""
        wifi = self.wifi
        info = {"up": True, "ssid": None, "address": port.BIND, "losses": 0}
        info["uses"] = len(self.uses)
        if wifi:
            info["up"] = wifi.is_up
            info["ssid"] = wifi.ssid
            info["address"] = wifi.radio.ifconfig()[0] if wifi.radio else "0.0.0.0"
            info["losses"] = wifi.losses
        return info

    def do_use(self, client):
        """Share the connection: a resource that notifies of its loss and return."""
        use = Use(self.provider, client, self.uses)
        use.notify(self.wifi is None or self.wifi.is_up)
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
        if self.wifi and self.wifi.ssid == ssid:
            self.wifi.ssid = None
        return True

    def _know(self, known):
        changed = dict(self.settings)
        changed["wifi"] = known
        files.save(changed)
        self.settings["wifi"] = known
        if self.wifi:
            self.wifi.changed.set()
