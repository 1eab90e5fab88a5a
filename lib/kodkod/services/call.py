# A call that cannot be answered at once: it waits for its turn, or for its handler's task.
from asyncio import CancelledError, core, sleep_ms
from time import ticks_add, ticks_diff, ticks_ms

from micropython import const

from kodkod import errors
from kodkod.message import copy
from kodkod.services import kernel as _k
from kodkod.signal import wake

# Half of the ESP32's tick period is six days; whoever sleeps longer looks again.
_FOREVER = const(1 << 28)
# One service must not starve the others of its app, nor one client the other clients.
_RUNNING = const(64)
# What is awaited when a handler returns it: a coroutine, a task, a sleep. No mere iterator is.
AWAITED = (type(_ for _ in ()), core.Task, core.SingletonGenerator)


class Call:
    """Stays in `session.calls` until its handler is really over, also when the caller has left."""

    task = None
    started = done = False

    def __init__(self, session, work, index, arguments):
        self.session = session
        self.work = work
        self.index = index
        self.result = arguments
        self.caller = core.cur_task

    async def answer(self, timeout_ms):
        """Starts or enqueues the call; waits for its result."""
        try:
            _k.shielded(self._enter)
            end = ticks_add(ticks_ms(), timeout_ms or 0)
            while not self.done:
                left = _FOREVER if timeout_ms is None else ticks_diff(end, ticks_ms())
                if left <= 0:
                    name = self.session.provider.name
                    raise errors.CallTimeout(
                        f"{name}: no answer within {timeout_ms} ms, see timeout_ms"
                    )
                await sleep_ms(left)
        finally:
            self.caller = None
            if not self.done:
                _k.shielded(self.cancel)
        if type(self.error) is str:
            name = self.session.provider.name
            self.error = getattr(errors, self.error)(
                f"{name}: ended during the call, open() again"
            )
        if self.error:
            raise self.error
        return self.result

    def _enter(self):
        session = self.session
        session.calls.append(self)
        turns = session.provider.turns_
        if self.work:
            self._start()
        elif session not in turns:
            turns.append(session)

    def _start(self):
        provider = self.session.provider
        self.task = _k.kernel.task(provider.owner_, self._run())
        provider.running_ += 1

    async def _run(self):
        self.started = True
        session = self.session
        result = None
        # What it comes to when this ends in a way that is no exception.
        error = "ServiceClosed"
        try:
            work = self.work
            if not work:
                work = session.handle(self.index, self.result, session.gid, session.id)
            if isinstance(work, AWAITED):
                work = await work
            result = copy(work, None, "result")
            error = None
        except MemoryError:
            raise
        except (Exception, CancelledError) as e:
            verdict = getattr(session.provider.owner_, "verdict", None)
            if isinstance(e, Exception) or not verdict:
                error = crossing(e)
        finally:
            _k.surely(self._over, error, result)

    def _over(self, error=None, result=None):
        # The handler has ended or will never start: its place is free.
        session = self.session
        provider = session.provider
        turns = provider.turns_
        if self in session.calls:
            session.calls.remove(self)
            if self.task:
                provider.running_ -= 1
            elif session in turns and not _waiting(session):
                turns.remove(session)
        self.finish(error, result)
        # The free places go to the waiting clients in turn, one call each.
        while turns and provider.running_ < _RUNNING:
            session = turns.pop(0)
            calls = _waiting(session)
            calls[0]._start()
            if len(calls) > 1:
                turns.append(session)

    def finish(self, error, result=None):
        """Answers the caller, if nobody has. `error`: an exception, or one's name."""
        if not self.done:
            self.done = True
            self.error = error
            self.result = result
            if self.caller:
                wake(self.caller)

    def cancel(self):
        """Takes the call out of the queue, or cancels its handler."""
        self.done = True
        if not self.started:
            self._over()
        if self.task and self.task is not core.cur_task:
            self.task.cancel()


def _waiting(session):
    return [call for call in session.calls if not call.task]


def crossing(exc):
    """The exception that the caller gets for one of the provider."""
    return errors.from_wire(*errors.to_wire(exc))
