# Whole payloads, in order and each once, over a console that drops and garbles: numbered pieces in
# frames, acknowledged, sent again when one was lost. Without I/O and without a clock of its own.

from kodkod.link.frames import frame

try:
    from micropython import const
except ImportError:
    const = int

# Flags of a packet: tag, flags, number of its piece, number of the piece that is expected, data.
DATA = const(1)
LAST = const(2)  # of a payload
ASK = const(4)  # for an answer
ANSWER = const(8)  # what came before it and is not acknowledged is lost
END = const(32)  # from the device: there is no such session
START = const(64)

OPENING = b"~@  kodkod "  # all of an opening is printable: it may meet a bare REPL
_HEAD = const(4)
_OVERHEAD = const(11)  # head, CRC, COBS, zeros
_PAYLOAD = const(2048)
_VERSION = const(1)
_PATIENCE_MS = const(100)  # doubling
_PATIENCE_MOST_MS = const(1600)


class Line:
    """One end of a session over a console, whose packets bear `tag`.

    At most `window` bytes of pieces of at most `piece` bytes are unacknowledged. Times are
    milliseconds of any clock that counts on for 2**30 at least.
    """

    def __init__(self, tag, piece, window):
        self._tag = tag
        self._piece = piece
        self._window = window
        self._pieces = []  # (flags, data) that are not acknowledged
        self._base = 0  # number of the first of them
        self._sent = 0  # how many of them are on their way
        self._flying = 0  # their bytes on the wire
        self._since = 0  # when the other end last said something new, or was asked
        self._patience = _PATIENCE_MS
        self._repaired = -1  # the base when pieces were last sent again
        self._expected = 0
        self._message = bytearray()
        self._reply = 0  # not 0: a packet is due, with ANSWER or without

    @property
    def waiting(self):
        """How many pieces are not acknowledged."""
        return len(self._pieces)

    def send(self, payload):
        """Queue a payload."""
        for at in range(0, len(payload) or 1, self._piece):
            self._pieces.append((DATA, bytes(payload[at : at + self._piece])))
        self._pieces[-1] = (DATA | LAST, self._pieces[-1][1])

    def feed(self, packet, now):
        """Take the content of a frame; the payload that it completes, or None."""
        if len(packet) < _HEAD or packet[0] != self._tag:
            return None
        flags = packet[1]
        self._acknowledged(flags, packet[3], now)
        if flags & ASK:
            self._reply |= ANSWER
        if not flags & DATA:
            return None
        self._reply |= DATA  # some packet, to acknowledge
        if packet[2] != self._expected:
            if (packet[2] - self._expected) & 255 < 128:
                self._reply |= ANSWER
            return None
        self._expected = (self._expected + 1) & 255
        self._message += packet[_HEAD:]
        if not flags & LAST and len(self._message) <= _PAYLOAD:
            return None
        message = bytes(self._message)
        self._message = bytearray()
        return message

    def _acknowledged(self, flags, number, now):
        count = (number - self._base) & 255
        if count > self._sent:
            return  # old, or of nobody
        if count:
            self._base = number
            self._sent -= count
            for _, data in self._pieces[:count]:
                self._flying -= len(data) + _OVERHEAD
            del self._pieces[:count]
            self._since = now
            self._patience = _PATIENCE_MS
        if flags & ANSWER and self._sent and self._repaired != self._base:
            self._repaired = self._base
            self._sent = self._flying = 0

    def poll(self, now):
        """The next bytes for the wire, or None: call it until then after each feed and send,
        and now and then."""
        reply = self._reply
        self._reply = 0
        if self._sent < len(self._pieces):
            flags, data = self._pieces[self._sent]
            size = len(data) + _OVERHEAD
            if not self._sent or self._flying + size <= self._window:
                if not self._sent:
                    self._since = now
                number = (self._base + self._sent) & 255
                self._sent += 1
                self._flying += size
                return self._packet(flags | reply & ANSWER, number, data)
        if self._sent and (now - self._since) & 0x3FFFFFFF > self._patience:
            self._since = now
            self._patience = min(2 * self._patience, _PATIENCE_MOST_MS)
            self._repaired = -1
            return self._packet(ASK | reply & ANSWER, 0, b"")
        if reply:
            return self._packet(reply & ANSWER, 0, b"")
        return None

    def _packet(self, flags, number, data):
        return frame(bytes((self._tag, flags, number, self._expected)) + data)


def gone(packet):
    """The frame that answers a packet, no opening, of a session that is not there."""
    return frame(bytes((packet[0], END, 0, 0)))


def welcome(packet, tag):
    """For a packet that is no opening: None. Else (nonce, frame to answer with, whether a session
    with this tag begins); an opening that is repeated until it is answered has the same nonce."""
    if packet[: len(OPENING)] != OPENING:
        return None
    try:
        newest, oldest, nonce = packet[len(OPENING) :].split(b" ")
        known = int(oldest) <= _VERSION <= int(newest)
    except ValueError:
        return None
    words = b"kodkod %d %d " % (_VERSION if known else 0, _VERSION)
    return nonce, frame(bytes((tag, START, 0, 0)) + words + nonce), known
