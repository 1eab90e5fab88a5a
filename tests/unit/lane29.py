# The lane as firmware 1.29 is, which schedules interrupts: import it before the rest of kodkod.

VERSION = (1, 29, 0)

from lane import port  # noqa: E402, F401
