# The platform: the same names from esp32.py or unix.py, the only files that differ by it.

import sys

if sys.platform == "esp32":
    from kodkod.port.esp32 import *
else:
    from kodkod.port.unix import *
