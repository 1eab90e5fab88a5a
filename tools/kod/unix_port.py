"""Starts MicroPython's unix port where it is a module of this Python, at less than half the cost
of its own script. Arguments: the folder of that module, then what MicroPython is given.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys


def main() -> None:
    """Run it; returns no more."""
    sys.path.append(sys.argv[1])
    from micropython_run import run_main

    with contextlib.suppress(OSError):  # a system without this has the port's own way
        _make_bell()
    program = os.path.join(os.path.dirname(sys.executable), "micropython")
    sys.exit(run_main([program, *sys.argv[2:]]))


def _make_bell() -> None:
    """A pipe that interrupts what waits in a system call when it is written to: how
    lib/kodkod/port/unix.py wakes its main thread.

    Of the handler only its C part is left, which does nothing. SIGINT would be raised wherever it
    strikes, and one that a process sends may come when nothing waits any more.
    """
    readable, writable = os.pipe()
    os.set_blocking(readable, False)
    os.set_blocking(writable, False)
    signal.signal(signal.SIGIO, lambda _number, _frame: None)
    fcntl.fcntl(readable, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(readable, fcntl.F_GETFL)
    fcntl.fcntl(readable, fcntl.F_SETFL, flags | os.O_ASYNC)
    os.environ["KODKOD_BELL"] = f"{readable} {writable}"


main()
