# When a boot starts no app: after boots that did not last, and with the boot button held.

import rtc
from kodkod import port, system
from kodkod.apps import boots
from kodkod.system import boot

CAUSE, BUTTON = port.reset_cause, port.boot_button


def booted(causes, button=False):
    """What each boot of a row of them says, none of which lasts."""
    port.boot_button = lambda: button
    found = []
    try:
        for cause in causes:
            port.reset_cause = lambda cause=cause: cause
            found.append(boot._why_safe())
    finally:
        port.reset_cause, port.boot_button = CAUSE, BUTTON
    return found


def test_after_three_boots_in_a_row_that_did_not_last_no_app_is_started():
    rtc.held[0] = b""
    assert booted(["power", "watchdog", "panic"]) == [None, None, None]
    assert booted(["reset"]) == ["3 boots in a row did not last 30 s"]
    boots.lasted()
    assert booted(["reset"]) == [None]


def test_which_app_was_starting_is_said():
    rtc.held[0] = b""
    booted(["power"] * 3)
    boots.starting("clock")
    assert booted(["reset"])[0] == (
        "3 boots in a row did not last 30 s, the last while starting 'clock'"
    )


def test_waking_from_deep_sleep_does_not_count():
    rtc.held[0] = b""
    assert booted(["sleep"] * 9) == [None] * 9
    assert booted(["power", "reset"]) == [None, None]
    assert booted(["sleep", "reset"]) == [None, None]


def test_the_boot_button_is_reason_enough():
    rtc.held[0] = b""
    assert booted(["power"], button=True) == ["the boot button is held"]


def test_a_device_whose_kernel_is_out_of_order_restarts():
    class Broken:
        def run(self):
            raise AttributeError("no kernel could go on with this, says the test")

        def flush(self):
            done.append("flushed")

    done = []
    before = system.start, port.reset_now
    system.start = lambda: (Broken(), Broken())
    port.reset_now = lambda: done.append("reset")
    try:
        system.main()
    finally:
        system.start, port.reset_now = before
    assert done == ["reset", "flushed"]
