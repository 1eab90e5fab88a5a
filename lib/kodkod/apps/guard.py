# The guard: interrupts a step that runs longer than its app's limit.
# The port brings the clock that ticks and the way to raise KeyboardInterrupt in the main thread.

from time import ticks_diff, ticks_us

from kodkod import port


class Guard:
    """`fired` is 2 from the moment an interrupt is on its way until somebody has dealt with it."""

    def __init__(self):
        self.fired = 0
        self.hit = False  # the KeyboardInterrupt that is being dealt with is the guard's
        self.kernel = None

    def start(self, kernel):
        """Watch the steps of `kernel` from now on."""
        self.kernel = kernel
        port.guard_start(self)

    def stop(self):
        port.guard_stop()

    def late(self):
        """True when the running step is over its limit and may be interrupted. Called by the
        port at each tick, so it allocates nothing."""
        kernel = self.kernel
        app = kernel.current
        if app is None or kernel.shield or self.fired:
            return False
        limit = app.limit
        return limit > 0 and ticks_diff(ticks_us(), kernel.began) > limit * 1000

    def _over(self, hit):
        self.hit = hit
        self.fired = 0
        port.guard_done()

    def swallow(self):
        """Fired, and the step or call ended by an exception: is it the interrupt?"""
        try:
            if not isinstance(self.kernel.error, KeyboardInterrupt):
                port.guard_wait(20)
        except KeyboardInterrupt:
            self._over(False)  # it is not, and has its own way to end
        else:
            self._over(True)

    def settle(self):
        """Fired, but the step or call has returned: wait for the interrupt and forgive."""
        try:
            port.guard_wait(500)
        except KeyboardInterrupt:
            pass
        self._over(False)

    def is_mine(self):
        """Whether the KeyboardInterrupt at hand is the guard's; asked once for each."""
        if self.fired:
            self._over(True)
        hit = self.hit
        self.hit = False
        return hit
