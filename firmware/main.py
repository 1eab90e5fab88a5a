# Starts Kodkod. Ctrl-C while it starts gives MicroPython's own prompt.

import gc
import sys

# Collect early and often: what stays then lies close together, and large blocks stay free.
gc.threshold(8192)

from kodkod import system  # noqa: E402

sys.exit(system.main())
