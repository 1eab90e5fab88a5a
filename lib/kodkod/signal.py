# Waiting for a change: Signal wakes tasks, and each looks for itself.
# A wait without a time limit parks its task, one with a limit is a sleep that wake() cuts short:
# neither needs a helper task, and cancelling just works.
from asyncio import core, sleep_ms


class _Parked:
    # Where asyncio looks for a task that is in no queue: a cancelled one has nothing to leave.
    def remove(self, task):
        pass


PARKED = _Parked()


def wake(task):
    """Ends the wait of `task`. One that is being cancelled wakes by itself, and must stay so."""
    queue = core._task_queue
    if task is core.cur_task:  # it runs
        return
    if task.data is PARKED:
        queue.push(task)
    elif task.data is None:
        queue.remove(task)
        queue.push(task)


class Signal:
    """Tasks wait for a change; whoever makes it wakes them all, and each looks for itself."""

    def __init__(self):
        self._tasks = []

    def set(self):
        for task in self._tasks:
            wake(task)

    async def wait(self, timeout_ms=None):
        task = core.cur_task
        for gone in self._tasks:
            if gone.done():  # its app ended by force: it could not leave itself
                self._tasks.remove(gone)
                break
        self._tasks.append(task)
        try:
            if timeout_ms is None:
                task.data = PARKED
                yield
            else:
                await sleep_ms(timeout_ms)
        finally:
            self._tasks.remove(task)
