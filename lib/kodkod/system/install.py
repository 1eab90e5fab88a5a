# Whether an image can be started with what a host says of it: loaded to look at that.

from kodkod import message
from kodkod.errors import ImageInvalid, TooLarge

_POLICIES = ("never", "on-failure", "always")
_MOST = 1500  # bytes of settings and defaults: `kod info` tells them in one message
_KINDS = {"after": (list, tuple), "args": (list, tuple), "defines": dict}


def check(store, image, settings):
    """The settings that the image brings; an error unless it can be started with both."""
    manifest = store.manifest(image)
    entry = manifest.get("entry")
    if not [end for end in (".mpy", ".py") if "{}{}".format(entry, end) in manifest["files"]]:
        raise ImageInvalid("image {}: its entry {!r} is not in it".format(image[:8], entry))
    defaults = manifest.get("settings") or {}
    for some in (defaults, settings):
        _check_settings(some)
    size = len(message.pack([settings, defaults]))
    if size > _MOST:
        text = "settings of {} bytes, {} are allowed: put what is long into a file (--assets)"
        raise TooLarge(text.format(size, _MOST))
    return defaults


def _check_settings(settings):
    if not isinstance(settings, dict):
        raise ValueError("settings: a dict is needed")
    policy = settings.get("restart")
    if policy is not None and policy not in _POLICIES:
        raise ValueError("restart: {} is not one of {}".format(policy, ", ".join(_POLICIES)))
    for key, value in settings.items():
        if value is None:
            continue
        if key.endswith("_ms"):
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ValueError("{}: {} is not a number of milliseconds".format(key, value))
        elif not isinstance(value, _KINDS.get(key, object)):
            raise ValueError("{}: {} is of the wrong kind".format(key, value))


def install(supervisor, name, image, settings, on_probation=True):
    """Switch `name` to `image`."""
    defaults = check(supervisor.store, image, settings)
    return supervisor.part("switch").install(
        supervisor, name, image, settings, defaults, on_probation
    )
