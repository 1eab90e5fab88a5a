# The lane as firmware of 1.29 and later that has no console slot, but schedules interrupts: import
# it before the rest of kodkod.

VERSION = (1, 29, 0)

from lane import port  # noqa: E402, F401
