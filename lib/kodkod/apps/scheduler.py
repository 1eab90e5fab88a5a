# The loop: drives every app's coroutines one step at a time, each step guarded and attributed.
# It replaces asyncio's own loop on asyncio's own queues, so await, sleep and streams are stock.

from asyncio import CancelledError, core
from time import ticks_add, ticks_diff, ticks_ms, ticks_us

from micropython import const

from kodkod import errors
from kodkod.apps import logs, upkeep
from kodkod.apps.app import App
from kodkod.apps.ending import Ending, unqueue

_QUIET = (CancelledError, StopIteration)
# After a step longer than this a quarter of its time is for those who take less. So they, and a
# host that wants to stop the app, get on beside steps of any length.
_LONG_US = const(40000)
_REST_MS = const(250)  # at most
_HELD_MS = const(1)  # without memory: until it is looked again


def _apply(function, args, _1, _2):
    return function(*args)


_sleep = [0, None]  # that which began last: until when, and whose


def sleep(self):
    """Replaces `__next__` of asyncio's sleep. The loop queues the task when its step is over: one
    that drives a coroutine by hand goes on, and C code does not survive what is queued twice."""
    if self.state is None:
        _sleep[1] = None
        self.exc.__traceback__ = None
        raise self.exc
    task = core.cur_task
    if task.data is not None:  # by hand it waits for something already
        unqueue(task)
    _sleep[0] = self.state
    _sleep[1] = task
    self.state = None
    return _sleep


def _lost(task):
    # It waits for nothing, as an iterator's values do not: it could not even be cancelled.
    queue = core._task_queue
    if _sleep[1] is task:  # what sleeps was driven by hand
        _sleep[1] = None
        queue.push(task, _sleep[0])
    else:
        queue.push(task)
        text = "it waits for nothing: await instead of yield; list() an iterator"
        task.data = errors.NotSerializable(text)


def _untie(task):
    # One that awaits itself, round however many others, would do so for ever, and to cancel it
    # would be to look for the last of them for ever: in C, where nothing can be interrupted.
    last = task.data
    while isinstance(last, core.Task):
        if last is task:
            unqueue(task)
            core._task_queue.push(task)
            task.data = RuntimeError("the task awaits itself")
            return
        last = last.data


class Scheduler(Ending):
    """The kernel as services see it, and the loop. `current` is the app that runs now."""

    def __init__(self, guard):
        self.current = None
        self.shield = 0  # not 0: the kernel's own state is being changed, the guard waits
        self.began = 0  # ticks_us: start of what runs, later by what it paused
        self.apps = []
        self.guard = guard
        # What to do at the end of a step, by guard.fired (0, 2, 4) + whether it returned.
        self.settled = (ticks_us, ticks_us) + 2 * (guard.swallow, guard.settle)
        # The same for a call: what the caller gets for an exception is not to be cut short.
        self.left = (self._raised, ticks_us) + 2 * (self._raised_late, guard.settle)
        self.opened = (ticks_us, None) + 2 * (guard.drain, None)  # the same at a call's start
        # What to do with a task whose step has returned, by whether it sleeps. It has no jump.
        self.after = ({}.get, core._task_queue.push)
        self.back = 0  # 1: the step is over, its task waits for something
        self.error = None  # what the last step raised, until it is dealt with
        self.judged = None  # the app whose exception is being looked at
        self.short = False  # of memory: apps wait
        self.rest = None  # ticks_ms: until then those wait whose steps are long
        self.served = False  # an app has used a service, since the boot
        self.upkeep = None  # the task that sees to it
        self.console = None  # a device's
        self.supervisor = None  # on a device that has installed apps
        self.ending = None  # the exit code that `run` returns, once decided
        self.on_idle = None  # called when the last app has ended
        self.next_gid = 0
        self.system = self.app("kodkod")
        self.system.limit = 0

    # Apps

    def app(self, name, parent=None):
        """A new, empty record, entered in `apps`."""
        app = App(self, name, self.next_gid, parent)
        self.next_gid += 1
        self.apps.append(app)
        return app

    def start(self, app, coro):
        """Make `coro` the main task of `app`; returns the app."""
        app.main = self.task(app, coro)
        return app

    def begin(self, name, coro):
        """Start a new app of that name; returns it."""
        return self.start(self.app(name), coro)

    def task(self, app, coro, background=False):
        """A task that belongs to `app`; one in the background does not keep it alive."""
        if not hasattr(coro, "send"):
            raise TypeError("coroutine expected")
        if app.reason:
            raise RuntimeError("app '{}' has ended".format(app.name))
        self.shield += 1
        try:
            task = core.Task([coro, app], core.__dict__)
            if background:
                app.background[task] = True
            else:
                maker = core.cur_task
                # Shifted, lest the collector takes the number for a pointer to it.
                app.tasks[task] = app.tasks.get(maker) or id(maker) >> 2
            core._task_queue.push(task)
        finally:
            self.shield -= 1
        return task

    def create_task(self, coro):
        """asyncio.create_task: the child belongs to the app that runs now."""
        return self.task(self.current or self.system, coro)

    # What services are given

    def call(self, owner, function, *args):
        """Run a plain function as `owner`: its time, its limit, and its end if it brings one."""
        return self.call4(owner or self.system, _apply, function, args, None, None)

    def call4(self, owner, function, a, b, c, d):
        """`call` for handlers, which take four arguments: *args would cost a tuple a call."""
        guard = self.guard
        before = self.current
        began = self.began
        shield = self.shield
        back = 0
        # No jump from here to the call: an interrupt for the caller would hit the owner.
        fired = guard.fired
        self.began = start = self.opened[fired]()
        self.current = owner
        try:
            try:
                result = function(a, b, c, d)
                back = 1
                return result
            finally:
                # No jump in here: an interrupt comes at one, and would hit the caller.
                now = ticks_us()
                took = ticks_diff(now, self.began)
                self.began = ticks_add(began, ticks_diff(now, start))
                self.current = before
                owner.cpu_us += took
                owner.messages += 1
                self.left[self.guard.fired + back]()
        except BaseException as exc:
            try:
                error = exc if owner is before else self._crossing(owner, exc)
            finally:
                self.shield = shield
            raise error

    def _raised(self):
        self.shield += 1

    def _raised_late(self):
        self.shield += 1
        self.guard.swallow()

    def _crossing(self, owner, exc):
        # What the caller gets for an exception in `owner`: the end of the owner is not its own.
        passes = isinstance(exc, Exception) and not isinstance(exc, MemoryError)
        if passes or owner is self.judged:
            return exc
        self.fail(owner, exc)
        return errors.ServiceClosed("app '{}' has ended".format(owner.name))

    def maker(self, app, task):
        """`id() >> 2` of what has made `task`, of `app`, or has made its maker: a task in the
        background or one of another app. No task: one that has ended keeps others from going."""
        return app.tasks.get(task)

    def log(self, owner, level, text):
        logs.write(owner or self.system, level, text)

    def log_exception(self, owner, exc, what):
        logs.write(owner or self.system, logs.ERROR, what + ": " + logs.traceback(exc))

    # The loop

    def run(self):
        """Drive the tasks until `ending` is set; returns it."""
        while self.ending is None:
            try:
                try:
                    self._loop()
                finally:  # no jump from here on is one of the app's
                    app = self.current
                    self.current = None
            except KeyboardInterrupt as exc:
                if app and self.guard.fired and not self.back:
                    self.error = exc  # it came while the step was ending by another exception
                elif not self.guard.is_mine() and self.on_idle:
                    self.ending = 130  # a person's; on a device it is one that came too late
            except BaseException as exc:  # whatever an app has found to make the kernel stumble
                try:
                    self._stumbled(exc)
                except MemoryError as more:
                    self._stumbled(more)
        _sleep[1] = None
        return self.ending

    def _stumbled(self, exc):
        error, self.error = self.error, None
        self.shield = 0
        task = core.cur_task
        if isinstance(exc, MemoryError):  # in here none is taken
            upkeep.give_back(self)
            if not self.back and task.coro[0]:  # what has ended is dealt with once there is some
                task.coro[0] = True  # it lets go of what it held
                task.state = None
                core._task_queue.push(task)
                task.data = exc if error is None else error
            return
        self.log_exception(None, exc, "kernel")
        coro = task.coro
        if len(coro) != 2 or not isinstance(coro[1], App):
            for app in self.apps:
                if task in app.tasks:  # it has laid hands on it
                    coro[:] = [None, app]
        for entry in list(core._io_queue.map.values()):
            app = (entry[0] or entry[1]).coro[1]
            poller = core.select.poll()
            poller.register(entry[2])
            try:
                self.call(app, poller.poll, 0)
            except Exception as exc:
                core._io_queue.remove(entry[0] or entry[1])
                self.fail(app, exc)
                return
        self.fail(task.coro[1], exc)
        self._forget(task, task.coro[1])

    def _loop(self):
        # Everything that is used at each step is a local: this is the hottest code there is.
        queue = core._task_queue
        io = core._io_queue
        streams = io.map
        guard = self.guard
        settled = self.settled
        after = self.after
        sleep = _sleep
        now = ticks_us()
        while self.ending is None:
            if self.error is not None:
                self._finished()
            task = queue.peek()
            delay = ticks_diff(task.ph_key, ticks_ms()) if task else 1000
            if delay > 0:
                io.wait_io_event(delay)
                now = ticks_us()
                continue
            if streams:
                io.wait_io_event(0)
            task = queue.pop()
            if (self.short or self.rest is not None) and self._held(task):
                continue
            core.cur_task = task
            coro, app = task.coro
            exc = task.data
            self.back = 0
            self.began = now
            # An interrupt comes at a jump: there is none between `current` and the step, nor its
            # end and what tells of it: `back` (it waits for something) or `error` (it is done).
            try:
                if exc is None:
                    self.current = app
                    sleeps = coro.send(None) is sleep
                    after[sleeps](task, sleep[0])
                    self.back = 1
                elif task.done():
                    raise exc
                else:
                    task.data = None
                    self.current = app
                    sleeps = coro.throw(exc) is sleep
                    after[sleeps](task, sleep[0])
                    self.back = 1
            except BaseException as er:  # a step is the boundary of all that an app may raise
                self.error = er
            self.current = None
            settled[guard.fired + self.back]()
            now = ticks_us()
            took = ticks_diff(now, self.began)
            app.cpu_us += took
            if took > _LONG_US:
                self._rest(app, took // 1000)
            if task.data is not None:
                _untie(task)
            elif self.back and not sleeps:
                _lost(task)

    def _rest(self, app, ms):
        # After a step of `app` that took as long.
        if not upkeep.is_app(self, app):
            return
        for other in self.apps:
            if other.busy:
                other.busy -= 1
        app.busy = len(self.apps)  # of all who may go first: then it does, in any case
        self.rest = ticks_add(ticks_ms(), min(ms // 4, _REST_MS))

    def _held(self, task):
        # Whether `task` is to wait though it is its turn; it is queued again.
        app = task.coro[1]
        if app.verdict or not upkeep.is_app(self, app):
            return False
        now = ticks_ms()
        if self.short:
            until = ticks_add(now, _HELD_MS)
        else:
            until = self.rest
            if ticks_diff(until, now) <= 0:
                self.rest = None
                app.busy = 0
            if not app.busy:
                return False
        data = task.data
        core._task_queue.push(task, until)
        task.data = data
        return True

    def _finished(self):
        # The step's task ended with `error`: tell who awaits it, or else fail its app.
        exc = self.error
        self.error = None
        if self.back:  # interrupted after its end: forgiven
            self.guard.is_mine()
            return
        task = core.cur_task
        app = task.coro[1]
        quiet = isinstance(exc, _QUIET)
        state = task.state
        if state and task.data is not None:  # by hand it waits for something
            unqueue(task)
        if state is True:
            task.state = None
            if isinstance(exc, Exception) and not quiet:
                # Until it is run again another task of its app may await it.
                core._task_queue.push(task)
                task.data = exc
                return
        elif state is None:  # its exception was not retrieved
            task.state = False
        elif callable(state):  # gather waits with a callback
            state(task, exc)
            task.state = False
            quiet = True
        elif state:
            while state.peek():
                core._task_queue.push(state.pop())
                quiet = True
            task.state = False
        else:  # retrieved meanwhile
            quiet = True
        task.data = exc
        if not quiet or not isinstance(exc, (CancelledError, Exception)):
            self.fail(app, exc)
        self._forget(task, app)

    def _forget(self, task, app):
        self._empty(task)
        app.background.pop(task, None)
        app.tasks.pop(task, None)
        if not app.tasks:
            self.released(app)
