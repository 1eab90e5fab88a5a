# The platform: the same names from esp32.py or unix.py, the only files that differ by it.

import sys

if sys.platform == "esp32":
    from .esp32 import *
else:
    from .unix import *
