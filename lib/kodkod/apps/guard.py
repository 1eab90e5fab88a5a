# The guard: interrupts a step that runs longer than its app's limit.
# The port brings the clock that ticks and the way to raise KeyboardInterrupt in the main thread.

from time import ticks_diff, ticks_us

from micropython import const

from kodkod import port
from kodkod.apps import logs, trouble

_GIVE_UP = const(4)  # interrupts survived, times two
_SHOW_MS = const(100)  # to show what has ended an app, where its limit is shorter


class Guard:
    """`fired` is twice the number of interrupts that the running step or call was sent, until
    it is over. An interrupt is raised at the second jump after it was sent, at the latest."""

    def __init__(self):
        self.fired = 0
        self.sent = 0  # ticks_us: when the last of them was
        self.hit = False  # the KeyboardInterrupt that is being dealt with is the guard's
        self.app = None  # who was interrupted last
        self.kernel = None

    def start(self, kernel):
        """Watch the steps of `kernel` from now on."""
        self.kernel = kernel
        port.guard_start(self)

    def stop(self):
        port.guard_stop()

    def late(self):
        """True when the running step may be interrupted now, again if it survived. Called by
        the port at each tick, so it allocates nothing."""
        kernel = self.kernel
        app = kernel.current
        if app is None or kernel.shield:
            return False
        limit = app.limit
        if not limit:
            return False
        if self.fired:
            return self.survived(limit)
        if kernel.judged is app and limit < _SHOW_MS:
            limit = _SHOW_MS
        return ticks_diff(ticks_us(), kernel.began) > limit * 1000

    def survived(self, limit_ms):
        """Whether what was sent an interrupt has had the time to end by it."""
        return ticks_diff(ticks_us(), self.sent) > limit_ms * 500 + 100000

    def fire(self):
        """Called when `late`, by whoever sends the interrupt. False: it is not to be sent; when
        two have not helped the device restarts without the app."""
        self.app = app = self.kernel.current
        if app.console and not app.console.is_due():
            return False
        if self.fired < _GIVE_UP:
            self.fired += 2
            self.sent = ticks_us()
            return True
        self.kernel.shield += 1
        trouble.note(app.origin)
        port.reset_now()
        return False

    def drain(self):
        """Fired, and the app calls another: what is on its way is raised here, at the latest."""
        port.guard_wait()
        self.fired = 0
        return ticks_us()

    def _over(self, hit):
        self.hit = hit
        self.fired = 0
        port.guard_done()

    def swallow(self):
        """Fired, and the step or call ended by an exception: is it the interrupt?"""
        error = self.kernel.error
        try:
            if not isinstance(error, KeyboardInterrupt):
                port.guard_wait()
        except KeyboardInterrupt:
            self._over(False)  # it is not, and has its own way to end
        else:
            self._over(True)
            if isinstance(error, StopIteration):
                self._caught()

    def settle(self):
        """Fired, but the step or call has returned: wait for the interrupt and forgive."""
        try:
            port.guard_wait()
        except KeyboardInterrupt:
            self._over(False)
        else:
            self._over(False)
            self._caught()

    def _caught(self):
        # It does not come: the app has caught it and gone on, which is not forgiven.
        self.hit = False
        self.kernel.end(self.app, "runaway", 1, logs.runaway(self.app, port.interrupted, True))

    def is_mine(self):
        """Whether the KeyboardInterrupt at hand is the guard's; asked once for each."""
        if self.fired:
            self._over(True)
        hit = self.hit
        self.hit = False
        return hit
