# Frames on a console: COBS, a CRC-32, a zero byte on either side. They share a line with text and
# find their place again after noise: whatever is between two zeros and has no right CRC is text.

from binascii import crc32

_RUN = 254


def frame(payload):
    """The bytes to write for `payload`."""
    out = bytearray(1)
    for run in (payload + crc32(payload).to_bytes(4, "little")).split(b"\0"):
        while len(run) >= _RUN:
            out += b"\xff" + run[:_RUN]
            run = run[_RUN:]
        out.append(len(run) + 1)
        out += run
    out.append(0)
    return out


def payload(data):
    """What a frame holds, given the bytes between its zeros; None when they are no frame."""
    out = bytearray()
    at = 0
    end = len(data)
    data = memoryview(data)
    while at < end:
        stop = at + data[at]
        out += data[at + 1 : stop]
        if stop < end and data[at] != 255:
            out.append(0)
        at = stop
    if at != end or len(out) < 4:
        return None
    content = bytes(out[:-4])
    return content if out[-4:] == crc32(content).to_bytes(4, "little") else None


class Splitter:
    """Finds frames of at most `limit` bytes (between their zeros) in bytes as they come.

    `on_text(data)` gets what belongs to no frame, in order.
    """

    def __init__(self, limit, on_text):
        self._limit = limit
        self._text = on_text
        self._data = bytearray()

    def feed(self, data):
        """The payloads of the frames that end in `data`."""
        found = []
        first, *rest = bytes(data).split(b"\0")
        self._add(first)
        for part in rest:
            content = payload(self._data)
            if content is None:
                self.flush()
            else:
                found.append(content)
                self._data = bytearray()
            self._add(part)
        return found

    def _add(self, part):
        self._data += part
        if len(self._data) > self._limit:
            self.flush()

    def flush(self):
        """Give up what may be the beginning of a frame: the line was quiet for a while."""
        if self._data:
            self._text(self._data)
            self._data = bytearray()
