"""Starts MicroPython's unix port where it is a module of this Python, at less than half the cost
of its own script. Arguments: the folder of that module, then what MicroPython is given.
"""

from __future__ import annotations

import os
import signal
import sys

_WAKE = {"URG": True, "WINCH": False}  # whether what they interrupt goes on, where it can


def main() -> None:
    """Run it; returns no more."""
    sys.path.append(sys.argv[1])
    from micropython_run import run_main

    # With these lib/kodkod/port/unix.py wakes a main thread that waits in a system call: first by
    # one after which most calls go on, the wait in a collection among them. Of their handler only
    # its C part is left, which does nothing; SIGINT would be raised wherever it strikes.
    for name, restarts in _WAKE.items():
        number = signal.Signals["SIG" + name]
        signal.signal(number, lambda _number, _frame: None)
        signal.siginterrupt(number, not restarts)
    os.environ["KODKOD_WAKE"] = " ".join(_WAKE)
    program = os.path.join(os.path.dirname(sys.executable), "micropython")
    sys.exit(run_main([program, *sys.argv[2:]]))


main()
