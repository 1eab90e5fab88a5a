# What comes in at the console goes to whom it is for: frames to the cable, keys to the raw REPL or
# the prompt. Loaded with the first byte, and let go when nothing has come in for a while.

from micropython import const

from kodkod import port

_BATCH = const(128)  # bytes that are read before others get their turn


def take(console):
    """Take what has come, up to the end of a job; that job, or None."""
    console.heard = port.uptime_ms()
    for _ in range(_BATCH):
        byte = console.read()
        if byte < 0:
            break
        if console.quiet:
            console.quiet = False
            console.news.set()
        if not console.cable:
            if byte:
                job = key(console, byte)
                if job:
                    return job
                continue
            console.cable = console.load("cable").Cable(console)
        data = bytearray()
        while byte >= 0:
            data.append(byte)
            byte = console.read() if len(data) < _BATCH else -1
        console.cable.feed(data)
        break
    return None


def key(console, byte):
    """Take a byte that a person or mpremote typed; the job that it completes, or None."""
    mode = console.mode
    if mode:
        return mode.feed(byte)
    if byte == 3 or byte == 13:
        console.prompt = ">>> "
        console.write("\r\n>>> ")
        return None
    if byte == 1:
        console.mode = console.load("rawrepl").RawRepl(console)
    else:
        console.mode = console.load("repl").Repl(console)
    return console.mode.feed(byte)


async def do(console, job):
    """Do a job of the mode's: "reset", or a step of typed code."""
    mode = console.mode
    try:
        typed = console.begin()
    except MemoryError:  # who waits for an answer gets this one
        mode.done(None if job == "reset" else "MemoryError: too little is free for typed code\n")
        return
    if job == "reset":
        console.quiet = True
        await typed.reset()
        mode.done(None)
    else:
        try:
            console.kernel.call4(typed.record(), typed.step, job, mode.source, None, None)
        except Exception as exc:  # the record has ended
            typed.error = exc
        mode.done(typed.report())
    console.news.set()


def rest(console):
    """Nothing has come in for a while: let go what is not needed."""
    if console.mode and console.mode.shows and console.mode.idle:
        console.mode = None
    if not console.mode:
        if console.prompt:
            console.write("\r\x1b[K")
            console.prompt = ""
        if console.typed and console.typed.idle:
            console.typed = None
        console.keys = None
