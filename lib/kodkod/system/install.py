# Receiving an image, switching a name to it, running it: loaded when it is first asked for.

import asyncio

from kodkod import port
from kodkod.apps import logs
from kodkod.errors import ImageInvalid
from kodkod.services import ServiceResource
from kodkod.storage.catalog import check_name

_POLICIES = ("never", "on-failure", "always")
_KINDS = {"after": (list, tuple), "args": (list, tuple), "defines": dict}


class Upload(ServiceResource):
    """An image on its way. Closed before `commit`, nothing of it is left."""

    def __init__(self, methods, client, image, size):
        super().__init__(methods.provider, client)
        self.image = image
        self.staging = None
        self.methods = methods
        try:
            self.staging = methods.supervisor.store.begin(image, size)
        except Exception:
            self.close()
            raise

    def write(self, data):
        """The next piece."""
        self.staging.write(data)

    def commit(self):
        """All pieces are there: verify."""
        self.staging.commit()
        self.methods.hold(self.image)

    def on_closed(self):
        if self.staging:
            self.staging.abort()


def upload(methods, client, image, size):
    """The resource that takes the pieces, or None when the image is there."""
    if methods.supervisor.store.has(image):
        methods.hold(image)
        return None
    return Upload(methods, client, image, size)


def _check(store, image, settings):
    # The settings that the image brings; an error unless these can be started with those.
    manifest = store.manifest(image)
    entry = manifest.get("entry")
    if not [end for end in (".mpy", ".py") if "{}{}".format(entry, end) in manifest["files"]]:
        raise ImageInvalid("image {}: its entry {!r} is not in it".format(image[:8], entry))
    defaults = manifest.get("settings") or {}
    for some in (defaults, settings):
        _check_settings(some)
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


def install(supervisor, name, image, settings, trial=True):
    """Switch `name` to `image`."""
    check_name(name)
    defaults = _check(supervisor.store, image, settings)
    return supervisor.switch().install(supervisor, name, image, settings, defaults, trial)


class Run(ServiceResource):
    """An app that is not installed. Notifies ["log", ms, level, text] and ["end", code, reason];
    closing it stops the app."""

    def __init__(self, methods, client, image, settings):
        super().__init__(methods.provider, client, notifiable=True)
        self.supervisor = methods.supervisor
        self.detached = settings.get("detach")
        kernel = self.supervisor.kernel
        self.app = kernel.app("run-{}".format(kernel.next_gid))
        try:
            self.supervisor.prepare(self.app, image, settings)
            # A name that the next boot clears away, whatever becomes of this run.
            self.app.data = "{}/data/~{}".format(port.ROOT, self.app.name)
        except Exception:
            kernel.apps.remove(self.app)
            self.close()
            raise
        self.app.on_end = self._ended
        logs.followers.append(self._line)
        timeout = settings.get("timeout_ms")
        if timeout:
            kernel.task(self.app, self._time_out(kernel, timeout), True)

    async def _time_out(self, kernel, delay):
        await asyncio.sleep_ms(delay)
        kernel.log(self.app, logs.WARNING, "stopped: its timeout has passed")
        kernel.end(self.app, "stopped", 0)

    def _line(self, line):
        if line[3] == self.app.name and not self.is_closed:
            self.notify(["log", line[1], line[2], line[4]])

    def _ended(self, app):
        logs.followers.remove(self._line)
        self.supervisor.store.remove_data(app.data)
        self.supervisor.sweep()
        if not self.is_closed:
            self.notify(["end", app.code, app.reason], close=True)
        logs.forget(app.name)

    def on_closed(self):
        if not self.detached:
            self.supervisor.kernel.end(self.app, "stopped", 0)


def run(methods, client, image, settings):
    """Start `image` as an app for the moment; returns the resource that tells of it."""
    supervisor = methods.supervisor
    _check(supervisor.store, image, settings)
    resource = Run(methods, client, image, settings)
    supervisor.release(image)
    return resource
