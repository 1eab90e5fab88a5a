# A call that cannot be answered at once: it waits for its turn, or for its handler's task.
from asyncio import CancelledError, core

from .. import errors
from ..channel import wake
from ..message import copy
from . import kernel as _k

# One service must not starve the others of its app, nor one client the other clients.
RUNNING = 64


class Call:
    """One of `session.calls` until its handler is really over, also when the caller has left."""

    def __init__(self, session, work, index, arguments):
        self.session = session
        self.work = work
        self.index = index
        self.arguments = arguments
        self.caller = core.cur_task
        self.task = None
        self.started = self.done = False
        self.result = None
        # What the caller gets when the handler's task ends in a way that is no exception.
        self.error = errors.ServiceClosed
        k = _k.kernel
        k.shield += 1
        try:
            session.calls.append(self)
            provider = session.provider
            if work is not None:
                self._start()
            else:
                if session not in provider._turns:
                    provider._turns.append(session)
        finally:
            k.shield -= 1

    def _start(self):
        provider = self.session.provider
        provider._running += 1
        self.task = _k.kernel.task(provider._owner, self._run())

    async def _run(self):
        self.started = True
        session = self.session
        try:
            work = self.work
            if work is None:
                work = session.handle(self.index, self.arguments, session.gid, session.id)
            if hasattr(work, "__next__"):
                work = await work
            self.result = copy(work)
            self.error = None
        except MemoryError:
            raise
        except (Exception, CancelledError) as e:
            self.error = errors.from_wire(*errors.to_wire(e))
        finally:
            self._over()

    def _over(self):
        # The handler has ended or will never start: its place is free.
        session = self.session
        k = _k.kernel
        k.shield += 1
        try:
            if self in session.calls:
                session.calls.remove(self)
                if self.task is None:
                    if not waiting(session):
                        session.provider._turns.remove(session)
                else:
                    session.provider._running -= 1
                    next_turn(session.provider)
        finally:
            k.shield -= 1
        self.finish(self.error)

    def finish(self, error):
        """Answers the caller, if nobody has."""
        if not self.done:
            self.done = True
            self.error = error
            if self.caller is not None:
                wake(self.caller)

    def cancel(self):
        """Takes the call out of the queue, or cancels its handler."""
        self.done = True
        if not self.started:
            self._over()
        if self.task is not None and self.task is not core.cur_task:
            self.task.cancel()


def waiting(session):
    """The calls of `session` that wait for their turn, oldest first."""
    return [call for call in session.calls if call.task is None]


def next_turn(provider):
    """Free places go to the waiting clients in turn, one call each."""
    while provider._turns and provider._running < RUNNING:
        session = provider._turns.pop(0)
        calls = waiting(session)
        calls[0]._start()
        if len(calls) > 1:
            provider._turns.append(session)
