# The service `kodkod/apps`: install, list, start and stop apps.

from micropython import const

from kodkod import message, port
from kodkod.apps import logs
from kodkod.borrow import borrow
from kodkod.errors import KodkodError
from kodkod.system.provider import is_tight

_TEXT = const(1000)  # bytes of a traceback in an answer
_ROOM = const(1700)  # bytes for it and the settings, which have 1500 at most
_PAGE = const(3)  # records of about 250 bytes


class Methods:
    """What `kod install` and its sisters call. Receiving images is loaded when it is needed."""

    def __init__(self, provider, supervisor):
        self.provider = provider
        self.supervisor = supervisor

    def do_list(self, client, start=0):
        """Records of the installed apps and the other running ones, links and an idle prompt left
        out: as many from number `start` on as fit one message; none when there are no more."""
        kernel = self.supervisor.kernel
        slots = self.supervisor.slots
        names = sorted(slots)
        others = [
            app
            for app in kernel.apps[1:]
            if app.name not in slots and ":" not in app.name and not _is_idle(app)
        ]
        page = 1 if is_tight() else _PAGE
        records = self._records([slots[name] for name in names[start : start + page]])
        if len(records) < page:
            for app in others[max(0, start - len(names)) :][: page - len(records)]:
                records.append(_of_app(app, {"name": app.name, "state": "running"}))
        return records

    def do_info(self, client, name):
        """All that is known of one installed app."""
        slot = self.supervisor.slot(name)
        record = self._records([slot])[0]
        record["settings"] = settings = slot.record["settings"]
        record["defaults"] = defaults = slot.record.get("defaults") or {}
        room = _ROOM - len(message.pack([settings, defaults]))
        record["traceback"] = _short(slot.traceback, min(_TEXT, room))
        record.update(self._made_for(slot.record["id"]))
        record["previous"] = slot.record["previous"]
        record["probation"] = slot.record["probation"]
        record["dropped"] = logs.dropped.get(name, 0)
        return record

    def _made_for(self, image):
        # Which kod made the image, and for which .mpy version.
        try:
            manifest = self.supervisor.store.manifest(image)
        except Exception:  # what is missing is no reason to tell nothing
            return {}
        return {"mpy": manifest.get("mpy"), "kodkod": manifest.get("kodkod")}

    def _records(self, slots):
        # Sizes are looked up once, and for all of a page together: what does it has to be loaded.
        new = [slot for slot in slots if slot.sized[0] != slot.record["id"]]
        if new:
            ids = [slot.record["id"] for slot in new]
            for slot, sized in zip(new, zip(ids, self.supervisor.store.sizes(ids))):
                slot.sized = sized
        return [self._record(slot) for slot in slots]

    def _record(self, slot):
        record = {
            "name": slot.name,
            "state": slot.state,
            "reason": slot.reason,
            "code": slot.code,
            "id": slot.record["id"],
            "restarts": slot.restarts,
            "size": slot.sized[1],
            "probation": slot.record["probation"],
        }
        if slot.app:
            record["uptime_ms"] = port.uptime_ms() - slot.started
            _of_app(slot.app, record)
        return record

    def do_upload(self, client, image, size):
        """The handle of an upload, or None when the device has the image."""
        return borrow("kodkod.system.upload").upload(self, client, image, size)

    def do_write(self, client, handle, data):
        """The next piece of an upload."""
        self.provider.resource(client, handle).write(data)

    def do_commit(self, client, handle):
        """Verify an upload that is complete."""
        self.provider.resource(client, handle).commit()

    def do_install(self, client, name, image, settings, trial=True):
        """Switch a name to an image the device has, and start it: on probation if `trial`."""
        install = borrow("kodkod.system.install").install
        return install(self.supervisor, name, image, settings, trial)

    def do_run(self, client, image, settings):
        """Run an image the device has, for the moment; returns a handle that tells of it."""
        return borrow("kodkod.system.run").run(self, client, image, settings)

    async def do_verdict(self, client, name):
        """Wait until a new version has passed or failed its probation."""
        slot = self.supervisor.slot(name)
        if slot.record["probation"] and self.supervisor.safe_mode:
            why = "safe mode, no app is started ({}): kod reset, and '{}' is judged"
            raise KodkodError(why.format(self.supervisor.safe_mode, name))
        fault = await self.supervisor.part("trial").judgement(self.supervisor, slot)
        return {
            "ok": not fault,
            "state": slot.state,
            "reason": slot.reason,
            "traceback": _short(fault) or None,
        }

    def do_start(self, client, name):
        """Start an installed app; no change when it runs."""
        slot = self.supervisor.slot(name)
        self.supervisor.part("switch").start(self.supervisor, slot)
        return slot.state

    async def do_stop(self, client, name):
        """Stop an app and what it has spawned; it stays stopped until it is started by hand."""
        await self.supervisor.part("switch").end(self.supervisor, name)

    async def do_restart(self, client, name):
        """Stop an app and start it again."""
        slot = self.supervisor.slot(name)
        await self.supervisor.part("switch").restart(self.supervisor, slot)
        return slot.state

    def do_uninstall(self, client, name, keep_data=False):
        """Remove an app; its data too, unless kept."""
        return self.supervisor.part("switch").uninstall(self.supervisor, name, keep_data)

    def do_make_room(self, client, name):
        """Stop an app and remove its image, so that a new one has room."""
        return self.supervisor.part("switch").make_room(self.supervisor, name)

    def do_config(self, client, name, settings):
        """Change settings of an installed app (None: the default), defines each by itself; it is
        restarted with them."""
        record = self.supervisor.slot(name).record
        merged = _merged(record["settings"], settings)
        defines = settings.get("defines")
        if isinstance(defines, dict):  # one by one, so that a change of one keeps the others
            merged["defines"] = _merged(record["settings"].get("defines") or {}, defines)
        return self.do_install(client, name, record["id"], merged)


def _merged(old, changes):
    new = dict(old)
    for key, value in changes.items():
        if value is None:
            new.pop(key, None)
        else:
            new[key] = value
    return new


def _is_idle(app):
    # A prompt at which nothing goes on: one task keeps it.
    return app.console and len(app.tasks) < 2


def _short(text, most=_TEXT):
    # To fit a message; the log has it whole.
    return text and logs.fitting(text, most)


def _of_app(app, record):
    record["gid"] = app.gid
    record["cpu_us"] = app.cpu_s * 1000000 + app.cpu_us
    record["messages"] = app.messages
    return record
