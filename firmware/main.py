# Starts Kodkod. Ctrl-C while it starts gives MicroPython's own prompt.

import gc
import os
import sys

# Collect early and often: what stays then lies close together, and large blocks stay free.
gc.threshold(8192)

# A library that came over a link has one start to prove itself: kodkod/system/renew.py.
new = os.getcwd().rstrip("/") + "/lib.new"
try:
    marks = os.listdir(new)
    if "trial" in marks:
        os.rename(new + "/trial", new + "/tried")
    if "trial" in marks or "good" in marks:
        sys.path.insert(0, new)
except OSError:
    marks = ()

try:
    from kodkod import system

    code = system.main()
except Exception as exc:
    if "trial" not in marks:
        raise
    sys.print_exception(exc)
    code = 75  # start again, with the library before
sys.exit(code)
