# Starts Kodkod. Ctrl-C while it starts gives MicroPython's own prompt.

import sys

from kodkod.system import boot

sys.exit(boot.main())
