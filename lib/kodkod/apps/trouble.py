# What must outlive a reset: boots in a row that did not last, the app that was being started,
# the app that could not be stopped. Kept in RTC memory (a file where there is none). This writes;
# boots.py asks, and a device forgets it once it has booted.

from kodkod import port

_MAGIC = b"K1"


def read():
    """[boots, culprit, starting]; memory that a power cut has filled with anything is empty."""
    data = bytes(port.read_memory())
    parts = data[3:].split(b"\0")
    if data[:2] != _MAGIC or len(parts) < 3:
        return [0, "", ""]
    return [data[2], str(parts[0], "utf-8"), str(parts[1], "utf-8")]


def write(field, value):
    """Change one of the three."""
    state = read()
    if state[field] != value:
        state[field] = value
        names = (state[1] + "\0" + state[2] + "\0").encode()
        port.write_memory(_MAGIC + bytes((state[0],)) + names)


def note(name):
    """Write down the app that nothing could stop; "" once it is quarantined."""
    try:
        write(1, name)
    except MemoryError:  # the reset that follows matters more
        pass
