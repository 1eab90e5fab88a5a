# Receiving an image, switching a name to it, running it: loaded when it is first asked for.

from kodkod.apps import logs
from kodkod.errors import ImageInvalid
from kodkod.services import ServiceResource
from kodkod.storage.catalog import check_name

_POLICIES = ("never", "on-failure", "always")


class Upload(ServiceResource):
    """An image on its way. Closed before `commit`, nothing of it is left."""

    def __init__(self, methods, client, image, size):
        super().__init__(methods.provider, client)
        self.image = image
        self.staging = None
        self.supervisor = methods.supervisor
        self.supervisor.held.append(image)
        try:
            self.staging = self.supervisor.store.begin(image, size)
        except Exception:
            self.close()
            raise

    def write(self, data):
        """The next piece."""
        self.staging.write(data)

    def commit(self):
        """All pieces are there: verify."""
        staging, self.staging = self.staging, None
        staging.commit()

    def on_closed(self):
        if self.staging:
            self.staging.abort()
            self.supervisor.held.remove(self.image)
        else:
            self.supervisor.let_go(self.image)


def upload(methods, client, image, size):
    """The resource that takes the pieces, or None when the image is there."""
    supervisor = methods.supervisor
    if supervisor.store.has(image):
        supervisor.held.append(image)
        supervisor.let_go(image)
        return None
    return Upload(methods, client, image, size)


def _check(store, image, settings):
    if not store.has(image):
        raise ImageInvalid("image {} is not on the device: send it first".format(image[:12]))
    policy = settings.get("restart")
    if policy is not None and policy not in _POLICIES:
        raise ValueError("restart: {} is not one of {}".format(policy, ", ".join(_POLICIES)))
    for key in ("interval_ms", "timeout_ms", "limit_ms", "probation_ms"):
        value = settings.get(key)
        if value is not None and (not isinstance(value, int) or value < 0):
            raise ValueError("{}: {} is not a number of milliseconds".format(key, value))


def install(supervisor, name, image, settings):
    """Switch `name` to `image`."""
    check_name(name)
    _check(supervisor.store, image, settings)
    return supervisor.switch().install(supervisor, name, image, settings)


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
        except Exception:
            kernel.apps.remove(self.app)
            self.close()
            raise
        self.app.on_end = self._ended
        logs.followers.append(self._line)

    def _line(self, line):
        if line[3] == self.app.name and not self.is_closed:
            self.notify(["log", line[1], line[2], line[4]])

    def _ended(self, app):
        logs.followers.remove(self._line)
        self.supervisor.sweep()
        if not self.is_closed:
            self.notify(["end", app.code, app.reason], close=True)
        logs.forget(app.name)

    def on_closed(self):
        if not self.detached:
            self.supervisor.kernel.end(self.app, "stopped", 0)


def run(methods, client, image, settings):
    """Start `image` as an app for the moment; returns the resource that tells of it."""
    _check(methods.supervisor.store, image, settings)
    return Run(methods, client, image, settings)
