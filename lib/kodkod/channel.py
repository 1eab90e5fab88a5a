# Waiting inside one app: Signal wakes tasks, Channel is a bounded queue that counts what it drops.
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
        self._tasks.append(task)
        try:
            if timeout_ms is None:
                task.data = PARKED
                yield
            else:
                await sleep_ms(timeout_ms)
        finally:
            self._tasks.remove(task)


class Channel(Signal):
    """A queue of at most `capacity` values between tasks of one app. `dropped` counts refusals."""

    def __init__(self, capacity):
        if capacity < 1:
            raise ValueError("a channel needs a capacity of 1 or more")
        super().__init__()
        self.capacity = capacity
        self.dropped = 0
        self._values = []

    def __len__(self):
        return len(self._values)

    def try_send(self, value):
        """True when it was taken; False, and counted in `dropped`, when the channel is full."""
        if len(self._values) >= self.capacity:
            self.dropped += 1
            return False
        self._values.append(value)
        if self._tasks:
            self.set()
        return True

    async def send(self, value):
        """Waits for room."""
        while len(self._values) >= self.capacity:
            await self.wait()
        self.try_send(value)

    async def receive(self):
        """Waits for a value; the oldest comes first."""
        while not self._values:
            await self.wait()
        value = self._values.pop(0)
        if self._tasks:
            self.set()
        return value
