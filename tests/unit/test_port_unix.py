# The simulated device's port: its guard is a thread, beside a collector that stops no thread.
# heap: 300k

import gc
import time

from harness import skip
from kodkod.port import unix

COUNT = 500
here = []
there = []


class Idle:
    """A guard that finds nothing late."""

    def late(self):
        return False


def fill():
    # Until the next that asks for memory has to collect.
    kept = []
    try:
        while True:
            kept.append(bytearray(16))
    except MemoryError:
        pass


def swap():
    # Every list is for a moment in one of the two only, which the collector looks at in turn.
    for _ in range(40):
        for i in range(COUNT):
            one = here[i]
            here[i] = None
            there[i] = one
        for i in range(COUNT):
            one = there[i]
            there[i] = None
            here[i] = one


def check_that_it_goes_on_after(error):
    time.sleep_ms(100)  # a thread of the test before sees that it is to end
    console = unix.unix_console
    tick = console.tick

    def strike(interrupt):
        console.tick = tick
        raise error

    class Looks(Idle):
        def __init__(self):
            self.count = 0

        def late(self):
            self.count += 1
            return False

    guard = Looks()
    console.tick = strike
    unix.guard_start(guard)
    try:
        while console.tick is strike or guard.count < 3:
            time.sleep_ms(1)
    finally:
        unix.guard_stop()


def test_an_interrupt_that_strikes_the_guards_thread_does_not_end_it():
    # A busy system may give any thread the signal.
    check_that_it_goes_on_after(KeyboardInterrupt())


def test_a_look_at_what_the_main_thread_is_changing_does_not_end_the_guard():
    # A table that grows is empty for a moment: 'App' object has no attribute 'limit'.
    check_that_it_goes_on_after(AttributeError())


def test_the_thread_of_the_guard_never_collects_what_the_main_thread_moves_about():
    here[:] = [[i] for i in range(COUNT)]
    there[:] = [None] * COUNT
    unix.guard_start(Idle())
    try:
        until = time.ticks_add(time.ticks_ms(), 2000)
        while time.ticks_diff(until, time.ticks_ms()) > 0:
            fill()
            swap()
            assert [one[0] for one in here] == list(range(COUNT))
    finally:
        unix.guard_stop()


class Quick:
    """`micropython` for the port, when the main thread looks before schedule() returns."""

    @staticmethod
    def schedule(function, argument):
        function(argument)


class AlwaysLate:
    ticks = fires = 0

    def late(self):
        self.ticks += 1
        if self.ticks == 10:
            unix._guard = None
        return True

    def fire(self):
        self.fires += 1
        return False


def test_a_main_thread_that_looks_at_once_is_asked_again_the_next_time():
    guard = AlwaysLate()
    unix._pending = unix._find_pending()
    unix.micropython, unix._guard, before = Quick, guard, unix.micropython
    try:
        unix._keep_looking()
    finally:
        unix.micropython = before
        unix._guard = None
    assert guard.fires > 2, guard.fires


def test_the_bell_is_heard_by_what_sleeps_and_does_no_harm_to_what_collects():
    # The guard's thread rings as soon as the main one waits for something, a collection's wait
    # for that thread included. A signal from elsewhere strikes in there: one in two hundred was
    # deadly.
    if not unix._bell:
        skip("started without a bell")

    class Rings(Idle):
        def __init__(self):
            self.rung = 0

        def late(self):  # takes no memory
            n = 200
            while n:
                n -= 1
                if unix._sleeps():
                    unix._ring()
                    self.rung += 1
            return False

    guard = Rings()
    kept = [[i, bytearray(i)] for i in range(200)]
    unix.guard_start(guard)
    try:
        while guard.rung < 1000:
            gc.collect()
            time.sleep_ms(1)
            assert [(i, len(text)) for i, text in kept] == [(i, i) for i in range(200)]
    finally:
        unix.guard_stop()
