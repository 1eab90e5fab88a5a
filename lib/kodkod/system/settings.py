# The device's own settings, kodkod.json: name, id, key, port and known networks.

import json

from kodkod import port
from kodkod.storage import flash

_PATH = port.ROOT + "/kodkod.json"
_DEFAULTS = {"name": "unnamed", "id": "", "key": "", "port": 9190, "wifi": []}


def load():
    """The settings as a dict. A file that cannot be read gives defaults without a key: then
    only the cable leads in."""
    settings = dict(_DEFAULTS)
    try:
        with flash.open(_PATH) as file:
            settings.update(json.load(file))
    except (OSError, ValueError):
        pass
    return settings


def save(settings):
    """Replace the file by `settings`, whole or not at all."""
    new = _PATH + ".new"
    try:
        with flash.open(new, "w") as file:
            json.dump(settings, file)
        flash.rename(new, _PATH)
    except OSError as error:
        if flash.exists(new):
            flash.remove(new)  # half of it may be what fills the flash
        raise flash.full(error)
