# A bounded queue between the tasks of one app, which counts what it drops.

from kodkod.signal import Signal


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
