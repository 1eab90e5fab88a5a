# The guard of port/esp32.py on firmware without the console slot, where MicroPython
# (1.29 and later) schedules the interrupt.
# heap: 4m
# timeout: 100

import lane29  # isort: skip

import asyncio
import os

import machine
import micropython
import test_esp32_lane as by_dupterm
from kernel_lab import ended, kernel_test, started


def test_the_interrupt_is_scheduled_where_there_is_no_console_slot():
    port = lane29.port
    assert port._send is port._by_schedule
    assert isinstance(port.interrupted, KeyboardInterrupt)


def test_a_scheduled_interrupt_comes_while_it_is_waited_for():
    try:
        lane29.port.interrupt()
        lane29.port.guard_wait()
    except KeyboardInterrupt as exc:
        assert exc is lane29.port.interrupted
    else:
        raise AssertionError("it did not come")
    lane29.port.guard_wait()  # once


def test_the_guard_stops_what_loops():
    by_dupterm.test_the_guard_stops_what_loops()


def test_a_handler_a_callback_and_a_child_are_stopped_as_well():
    by_dupterm.test_a_handler_a_callback_and_a_child_are_stopped_as_well()


def test_what_catches_every_interrupt_is_written_down_and_the_device_restarts():
    by_dupterm.test_what_catches_every_interrupt_is_written_down_and_the_device_restarts()


@kernel_test
async def test_the_console_slot_stays_its_owner_s(kernel):
    stream = object()
    os._slot[0] = stream
    try:
        app = started(kernel, by_dupterm.looping, ValueError, (), name="bad", limit=60)
        await ended(app, "runaway")
        assert os._slot[0] is stream
    finally:
        os._slot[0] = None


@kernel_test
async def test_one_that_comes_late_hits_nobody_else(kernel):
    # The step that it was for has returned by itself meanwhile: it is forgiven.
    module = lane29.port.micropython
    schedule = module.schedule
    came = []
    went_on = []

    def late(function, argument):
        came.append(function)
        timer.init(mode=timer.ONE_SHOT, period=3, callback=lambda _: schedule(function, argument))

    async def slow():
        while not kernel.guard.fired:
            pass
        await asyncio.sleep_ms(1)
        went_on.append(True)

    timer = machine.Timer(3)
    module.schedule = late
    try:
        app = started(kernel, slow, name="slow", limit=60)
        await ended(app, "ended", 0)
    finally:
        module.schedule = schedule
    assert came == [module.kbd_intr]
    assert went_on


@kernel_test
async def test_one_that_strikes_in_the_guards_own_callback_is_sent_again(kernel):
    # Ticks that have piled up behind a call that does not look: the next one is in its way.
    module = lane29.port.micropython
    schedule = module.schedule
    came = []

    def piled_up(function, argument):
        came.append(function)
        if len(came) == 1:
            micropython.schedule(machine._strike, lane29.port._timer)
        schedule(function, argument)

    module.schedule = piled_up
    try:
        app = started(kernel, by_dupterm.looping, ValueError, (), name="bad", limit=60)
        await ended(app, "runaway")
    finally:
        module.schedule = schedule
    assert len(came) >= 2
