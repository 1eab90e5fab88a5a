# The device. Booting is loaded for itself, and goes when it is done.

import sys

from kodkod import port

# They leave once it is done.
BOOT = ("system.boot", "system.settings", "apps.startup", "apps.boots", "apps.begin")


def main():
    """Run the device; returns only when the kernel is told to end, with its exit code."""
    kernel, console = start()
    try:
        return kernel.run()
    except Exception as exc:  # a kernel that is no more in order starts anew, with what it runs
        sys.print_exception(exc)
        port.reset_now()
    finally:
        console.flush()


def start():
    """What is to be run: (kernel, console)."""
    from kodkod.apps import loader
    from kodkod.borrow import forget
    from kodkod.system import boot

    started = boot.start()
    loader.replaced.clear()  # they stay for as long as the device is up
    for name in BOOT:
        forget("kodkod." + name)
    return started
