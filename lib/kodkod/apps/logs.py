# What apps print: lines with time and level in one shared pool, kept over the app's end.
# When the pool is full the oldest line of an app that has more than its share is dropped.

import builtins
import io
import sys

from micropython import const

from kodkod import errors, port

DEBUG = const(0)
INFO = const(1)
WARNING = const(2)
ERROR = const(3)

_SHARE = const(512)
_OVERHEAD = const(64)  # a line's tuple, text object and list entry, 32-bit
_LONGEST = const(512)  # what is printed without a newline for longer is cut into lines
_LINE = const(1600)  # bytes of the longest line there is, within one message of a link
_TRACEBACK = const(1200)  # whole, and within one message beside all else that is told of an app

pool = 8192  # bytes for all lines of all apps
lines = []  # (seq, ms, level, app's name, text)
dropped = {}  # app's name -> lines dropped
followers = []  # called with each line as it comes
kernel = None
_used = {}  # app's name -> bytes
_total = 0
_partial = {}  # app's name -> printed, not yet ended by a newline
_seq = 0
_telling = False
native = builtins.print  # what writes to the console
_native_input = builtins.input
output = None  # what apps see as sys.stdout, once one has asked for it


def traceback(exc):
    """The text that MicroPython prints for `exc`, less the kernel's own frames above the app.
    Of a recursion each frame is there once."""
    text = io.StringIO()
    sys.print_exception(exc, text)
    frames = []
    for line in text.getvalue().rstrip().split("\n"):
        if len(frames) == 1 and "kodkod/apps" in line:
            continue
        if line not in frames[-4:]:
            frames.append(line)
    return fitting("\n".join(frames))


def fitting(text, most=_TRACEBACK):
    """`text`, less its middle, in about `most` bytes that any link can carry."""
    if len(text) > most:
        text = text[: most // 2] + "\n...\n" + text[-most // 2 :]
    if len(memoryview(text)) > len(text):
        text = errors.legible(text, most + 10)
    return text


def runaway(app, exc, caught=False):
    """The text for an app that ran into its limit, interrupted by `exc`."""
    frames = traceback(exc).split("\n")[:-1]
    text = "runaway: no pause for {} ms".format(app.limit)
    places = [line for line in frames[1:] if "kodkod/" not in line] or frames[1:]
    if places:
        text += " in" + places[-1].replace('  File "', " ").replace('"', "")
    if caught:
        text += ", and it caught the interrupt: catch Exception, not everything"
    frames.append(text + ": await asyncio.sleep(0) in its loops, or a longer --limit")
    return "\n".join(frames)


def write(app, level, text):
    """Add a line to the log of `app`."""
    global _telling
    kernel.shield += 1
    try:
        if level == ERROR:  # what it has printed last stands before what ended it
            flush(app)
        line = _add(app.name, level, text)
        if not _telling:  # what telling brings about is kept, but not told
            _telling = True
            try:
                for follower in followers:
                    follower(line)
            finally:
                _telling = False
    finally:
        kernel.shield -= 1


def _size(text):
    return len(memoryview(text)) + _OVERHEAD


def _add(name, level, text):
    global _seq, _total
    text = fitting(text, _LINE)
    size = _size(text)
    most = _total if kernel.short and _total else pool  # without memory they grow no more
    if _total + size > most:
        _make_room(name, size, most)
    _seq += 1
    line = (_seq, port.uptime_ms(), level, name, text)
    _used[name] = _used.get(name, 0) + size
    _total += size
    lines.append(line)
    return line


def _make_room(name, size, most):
    # The oldest lines of one app go, down to its share, an eighth of the pool at once: so that
    # a flood looks at all lines but seldom. The writer pays if it is over its share, else the
    # app with the most.
    global _total
    while lines and _total + size > most:
        if _used.get(name, 0) <= _SHARE:
            for other in _used:
                if _used[other] > _used.get(name, 0):
                    name = other
        used = _used.get(name, 0)
        enough = min(_total + size - most + pool // 8, max(used - _SHARE, 1))
        freed = count = kept = 0
        for line in lines:
            if freed < enough and line[3] == name:
                freed += _size(line[4])
                count += 1
            else:
                lines[kept] = line
                kept += 1
        del lines[kept:]
        _total -= freed or used
        dropped[name] = dropped.get(name, 0) + count
        _used[name] = used - freed
        if freed in (0, used):
            _used.pop(name)
        for other in dropped:
            if other not in _used and not _found(other):
                dropped.pop(other)  # one for one: of short-lived apps there is no end
                break


def _found(name):
    # Running or installed.
    for app in kernel.apps:
        if app.name == name:
            return True
    return kernel.supervisor and name in kernel.supervisor.slots


def forget(name):
    """Remove the lines of an app that was uninstalled."""
    global _total
    lines[:] = [line for line in lines if line[3] != name]
    _total -= _used.get(name, 0)
    for table in (_used, dropped, _partial):
        table.pop(name, None)


def flush(app):
    """End the line that `app` left unended."""
    text = _partial.pop(app.name, "")
    if text:
        write(app, INFO, text)


def printed(app, text):
    """Text as an app's stdout gets it: becomes lines at the newlines."""
    kernel.shield += 1
    try:
        if len(text) > pool:
            dropped[app.name] = dropped.get(app.name, 0) + 1
            text = text[-pool:]
        text = _partial.pop(app.name, "") + text
        start = 0
        while start < len(text):
            end = text.find("\n", start, start + _LONGEST)
            if end < 0:
                if len(text) - start < _LONGEST:
                    _partial[app.name] = text[start:]
                    break
                end = start + _LONGEST
                write(app, INFO, text[start:end])
                start = end
            else:
                write(app, INFO, text[start:end])
                start = end + 1
    finally:
        kernel.shield -= 1


def print_(*args, sep=" ", end="\n", file=None):
    app = kernel.current
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


def input_(*prompt):
    """`input` as apps see it: nobody is there to answer."""
    app = kernel.current
    if app is None or app.console:
        return _native_input(*prompt)
    print_(*prompt, end="")
    raise EOFError("no keyboard leads here: kod install -D")
