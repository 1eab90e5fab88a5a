# An app that is not installed: loaded for as long as one runs.

import asyncio

from kodkod import port
from kodkod.apps import logs
from kodkod.borrow import borrow
from kodkod.services import ServiceResource


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
            starting = borrow("kodkod.apps.starting")
            starting.check_memory(starting.memory(self.supervisor, image))
            starting.prepare(self.supervisor, self.app, image, settings)
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
            kernel.task(self.app, self._time_out(timeout), True)

    async def _time_out(self, delay):
        await asyncio.sleep_ms(delay)
        self.supervisor.time_out(self)

    def _line(self, line):
        if line[3] == self.app.name and not self.is_closed:
            self.notify(["log", line[1], line[2], line[4]])

    def _ended(self, app):
        logs.followers.remove(self._line)
        self.supervisor.store.remove_data(app.data)
        self.supervisor.part("held").sweep(self.supervisor)
        if not self.is_closed:
            self.notify(["end", app.code, app.reason], close=True)
        logs.forget(app.name)

    def on_closed(self):
        if not self.detached and self.app.is_running:  # else what it has spawned goes on
            self.supervisor.stop_all(self.app.name)


def run(methods, client, image, settings):
    """Start `image` as an app for the moment; returns the resource that tells of it."""
    supervisor = methods.supervisor
    borrow("kodkod.system.install").check(supervisor.store, image, settings)
    resource = Run(methods, client, image, settings)
    supervisor.part("held").release(supervisor, image)
    return resource
