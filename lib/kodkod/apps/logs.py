# What apps print: lines with time and level in one shared pool, kept over the app's end.
# When the pool is full the oldest line of an app that has more than its share is dropped.

import builtins
import io
import sys

from micropython import const

from kodkod import port

DEBUG = const(0)
INFO = const(1)
WARNING = const(2)
ERROR = const(3)

_POOL = const(8192)
_SHARE = const(512)
_OVERHEAD = const(48)  # a line's tuple and list entry, 32-bit
_PARTIAL = const(512)

lines = []  # (seq, ms, level, app's name, text)
dropped = {}  # app's name -> lines dropped
followers = []  # called with each line as it comes
current = None  # function: the app that runs now
_used = {}  # app's name -> bytes
_partial = {}  # app's name -> printed, not yet ended by a newline
_seq = 0
native = builtins.print  # what writes to the console
output = None  # what apps see as sys.stdout, once one has asked for it


def traceback(exc):
    """The text that MicroPython prints for `exc`, less the kernel's own frames above the app."""
    text = io.StringIO()
    sys.print_exception(exc, text)
    lines = text.getvalue().rstrip().split("\n")
    while len(lines) > 2 and "kodkod/apps" in lines[1]:
        lines.pop(1)
    return "\n".join(lines)


def runaway(app, exc=None):
    """The text for an app that ran into its limit; without `exc`: and caught the interrupt."""
    what = "caught the interrupt and went on: catch Exception, not everything"
    frames = []
    if exc:
        frames = traceback(exc).split("\n")[:-1]
        what = "await asyncio.sleep(0) in its loops"
        if len(frames) > 1:
            what = "in " + frames[-1].strip() + ": " + what
    frames.append("runaway: no pause for {} ms, {}".format(app.limit, what))
    return "\n".join(frames)


def write(app, level, text):
    """Add a line to the log of `app`."""
    global _seq
    _seq += 1
    name = app.name
    line = (_seq, port.uptime_ms(), level, name, text)
    _used[name] = _used.get(name, 0) + len(text) + _OVERHEAD
    lines.append(line)
    while len(lines) > 1 and sum(_used.values()) > _POOL:
        _drop(name)
    for follower in followers:
        follower(line)


def _drop(writer):
    # The writer pays if it is over its share, else the oldest line of one that is.
    for i, line in enumerate(lines):
        name = line[3]
        if name == writer if _used[writer] > _SHARE else _used[name] > _SHARE:
            break
    else:
        i = 0
    name = lines[i][3]
    _used[name] -= len(lines.pop(i)[4]) + _OVERHEAD
    dropped[name] = dropped.get(name, 0) + 1


def forget(name):
    """Remove the lines of an app that was uninstalled."""
    lines[:] = [line for line in lines if line[3] != name]
    for table in (_used, dropped, _partial):
        table.pop(name, None)


def flush(app):
    """End the line that `app` left unended."""
    text = _partial.pop(app.name, "")
    if text:
        write(app, INFO, text)


def printed(app, text):
    """Text as an app's stdout gets it: becomes lines at the newlines."""
    text = _partial.pop(app.name, "") + text
    while True:
        end = text.find("\n")
        if end < 0:
            break
        write(app, INFO, text[:end])
        text = text[end + 1 :]
    while len(text) > _PARTIAL:
        write(app, INFO, text[:_PARTIAL])
        text = text[_PARTIAL:]
    if text:
        _partial[app.name] = text


def _print(*args, sep=" ", end="\n", file=None):
    app = current()
    if app is None or not (file is None or file is output):
        if file is None:
            native(*args, sep=sep, end=end)
        else:
            native(*args, sep=sep, end=end, file=file)
    else:
        text = (" " if sep is None else sep).join([str(a) for a in args]) + end
        if app.console:
            app.console.write(text)
        else:
            printed(app, text)


def install(who):
    """Make `print` write to the log of the app that `who()` names."""
    global current
    current = who
    builtins.print = _print


def uninstall():
    builtins.print = native
