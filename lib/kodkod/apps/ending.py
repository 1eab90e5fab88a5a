# The end of an app: decided once, then its tasks have time for their `finally` blocks, then all
# that it owns is closed. Whatever memory there is, it comes to that.

from asyncio import CancelledError, core
from time import ticks_add, ticks_diff, ticks_ms

from kodkod.apps import logs, upkeep
from kodkod.services import registry

_GRACE_MS = 2000
_MOST = 5  # times as long it may take, when others run meanwhile
_FORCE_MS = 30  # for what is left of an app that did not end in time


def _close(thing, _1, _2, _3):
    thing.close()


def _verdict(app, exc, mine):
    # Reason, exit code and text for an app that `exc` ends.
    if isinstance(exc, SystemExit):
        text = None
        code = exc.args[0] if exc.args else 0
        if code is None:
            code = 0
        elif not isinstance(code, int):
            text = logs.fitting(str(code))
            code = 1
        code &= 255
        return "failed" if code else "ended", code, text
    if mine:
        return "runaway", 1, logs.runaway(app, exc)
    return "memory" if isinstance(exc, MemoryError) else "failed", 1, logs.traceback(exc)


def unqueue(task):
    """Take a task out of the queue it is in: that which its data names, that of the task it waits
    for, or else the main one."""
    data = task.data
    if isinstance(data, core.Task):
        data = data.state
    (data if hasattr(data, "remove") else core._task_queue).remove(task)
    task.data = CancelledError  # so that nobody who kept it wakes it


class Ending:
    """The part of the scheduler that ends apps."""

    def fail(self, app, exc):
        """End `app` for what left one of its steps, handlers or hooks."""
        mine = isinstance(exc, KeyboardInterrupt) and self.guard.is_mine()
        if isinstance(exc, MemoryError):
            upkeep.give_back(self)
        shield = self.shield
        judged = self.judged
        current = self.current
        self.current = None  # nobody else is to be interrupted meanwhile
        self.shield = 0
        self.judged = app
        try:  # to show it may be to run the app's code
            reason, code, text = self.call(app, _verdict, app, exc, mine)
        except BaseException as more:
            reason, code, text = "failed", 1, "an exception that cannot be shown"
            if isinstance(more, KeyboardInterrupt) and self.guard.is_mine():
                reason = "runaway"
        self.judged = judged
        self.shield = shield
        self.current = current
        if app is self.system and reason == "ended":
            self.ending = code
        self.end(app, reason, code, text)

    def end(self, app, reason, code, text=None, grace_ms=_GRACE_MS):
        """Decide the end of `app`, once; its tasks are cancelled, then all it owns is closed.
        `text`: the traceback, if there is one."""
        self.shield += 1
        try:  # first a jump, at which an interrupt comes that was sent before
            decided = not app.verdict and app is not self.system
            if decided:
                try:
                    self._begin_end(app, reason, code, text, grace_ms)
                except MemoryError:
                    upkeep.give_back(self)
                    self._begin_end(app, reason, code, text, grace_ms)
            if text:
                logs.write(app, logs.ERROR, text)
            if decided and (code or reason == "runaway"):
                registry.close_owned(app)  # its callers learn of a crash at once
        finally:
            self.shield -= 1

    def _begin_end(self, app, reason, code, text, grace_ms):
        verdict = reason, code
        app.traceback = text
        self.task(self.system, self._end(app, grace_ms))
        app.verdict = verdict

    async def _end(self, app, grace_ms):
        # Whatever memory there is, it comes to its end: until its tasks are gone, none is taken
        # that must be had.
        for task in app.tasks:
            task.cancel()
        try:  # its services end with their calls; its own clients it may use to the last
            registry.close_owned(app, False)
        except MemoryError:
            upkeep.give_back(self)
        left = grace_ms  # less what passes, but for the time of other apps
        deadline = ticks_add(ticks_ms(), _MOST * grace_ms)
        while app.tasks and left > 0 and ticks_diff(deadline, ticks_ms()) > 0:
            try:
                start = ticks_ms()
                others = self._time_of_others(app)
                await app.changed.wait(left)
                others = max(0, self._time_of_others(app) - others)
                left -= ticks_diff(ticks_ms(), start) - others
            except MemoryError:
                upkeep.give_back(self)
                await core.sleep_ms(1)
        text = "not ended after {} ms: by force" if app.tasks else None
        try:  # first, since it ends the calls that its tasks are busy with
            registry.close_owned(app)
        except MemoryError:  # once more, then
            upkeep.give_back(self)
        self._drop_all(app)
        while app.code is None:
            try:
                if text:
                    logs.write(app, logs.ERROR, text.format(grace_ms))
                    text = None
                self._close_all(app)
            except MemoryError:
                upkeep.give_back(self)
                await core.sleep_ms(0)
        app.changed.set()
        if app.on_end:
            app.on_end(app)
        if self.on_idle and len(self.apps) == 1:
            self.on_idle()

    def _time_of_others(self, app):
        # In milliseconds.
        ms = 0
        for other in self.apps:
            if other is not app:
                ms += other.cpu_s * 1000 + other.cpu_us // 1000
        return ms

    def _drop_all(self, app):
        app.reason = app.verdict[0]  # it makes no more tasks
        app.limit = _FORCE_MS
        deadline = ticks_add(ticks_ms(), _FORCE_MS)
        self._drop_tasks(app, app.tasks, deadline)
        self._drop_tasks(app, app.background, deadline)

    def _drop_tasks(self, app, tasks, deadline):
        for task in tasks:
            self._drop(app, task, ticks_diff(deadline, ticks_ms()) > 0)
        tasks.clear()

    def drop(self, app):
        """Take the tasks that `app` lives by away without a word; its end is to follow. It takes
        no memory."""
        app.main = None
        self._drop_tasks(app, app.tasks, ticks_ms())

    def _close_all(self, app):
        registry.close_owned(app)
        for entry in list(core._io_queue.map.values()):  # of what could not be waited for
            if (entry[0] or entry[1]).coro[1] is app:
                core._io_queue._dequeue(entry[2])
        owned = app.owned
        while owned:
            thing = owned[-1]
            try:
                self.call4(app, _close, thing, None, None, None)
            except MemoryError:  # it has not even begun
                raise
            except Exception:  # it did not end well
                pass
            if owned and owned[-1] is thing:
                owned.pop()
        logs.flush(app)
        # Its parent and whoever else may keep the record, but not what the app was.
        app.modules = app.facades = app.names = app.path = app.main = app.run = None
        self.guard.app = None
        if app in self.apps:
            self.apps.remove(app)
        app.code = app.verdict[1]

    def _drop(self, app, task, close):
        if task.done():
            return
        coro = task.coro[0]
        unqueue(task)
        if close:  # its `finally` blocks, the kernel's own too
            before = core.cur_task
            core.cur_task = task
            try:
                self.call4(app, _close, coro, None, None, None)
            except Exception:  # it did not even end well
                pass
            core.cur_task = before
            unqueue(task)  # it has caught that, and waits again
        state = task.state
        if hasattr(state, "peek"):  # it may be other apps' that await it
            while state.peek():
                core._task_queue.push(state.pop())
        task.state = False  # whoever finds it somewhere sees that it is over
        self._empty(task)

    def released(self, app):
        """`app` may have nothing left to live for: no task and no provider."""
        if not app.tasks:
            if app.verdict:
                app.changed.set()
            elif not registry.has_providers(app):
                self.end(app, "ended", 0)

    async def stop_all(self):
        """End every app gracefully."""
        for app in self.apps[1:]:
            self.end(app, "stopped", 0)
        while len(self.apps) > 1:
            await self.apps[-1].changed.wait()

    def _empty(self, task):
        # A task that waits still points to what was behind it in the queue. Of a task that has
        # ended, neither its coroutine nor its app is to be kept by that.
        coro = task.coro
        coro[0] = None
        coro[1] = self.system
