# A line over a console that delays, drops, garbles, doubles: whole payloads, each once, in order.
# also: cpython
# timeout: 120
from harness import deep
from kodkod.link.frames import Splitter, frame
from kodkod.link.line import ASK, END, OPENING, START, Line, gone, welcome


class Random:
    """The same numbers everywhere."""

    def __init__(self, seed):
        self.state = seed * 2654435761 & 0xFFFFFFFF or 1

    def below(self, count):
        self.state ^= self.state << 13 & 0xFFFFFFFF
        self.state ^= self.state >> 17
        self.state ^= self.state << 5 & 0xFFFFFFFF
        return self.state % count


class Wire:
    """One direction at 115200 baud. Of 40000 bytes `noise` each are flipped, lost, doubled, and
    come with another."""

    def __init__(self, random, noise=0, ring=None):
        self.random = random
        self.noise = noise
        self.ring = ring  # bytes that the receiver's ring holds
        self.bytes = bytearray()
        self.arrived = bytearray()
        self.most = 0
        self.dropped = 0

    def write(self, data):
        self.bytes += data

    def pass_time(self, ms):
        count = int(ms * 11.52)
        for byte in self.bytes[:count]:
            what = self.random.below(40000) if self.noise else 99999
            if what < self.noise:
                byte ^= 1 << self.random.below(8)
            elif what < 2 * self.noise:
                continue
            if self.ring and len(self.arrived) >= self.ring:
                self.dropped += 1
                continue
            self.arrived.append(byte)
            if 2 * self.noise <= what < 3 * self.noise:
                self.arrived.append(byte)
            elif what < 4 * self.noise and what >= 3 * self.noise:
                self.arrived.append(self.random.below(256))
        self.bytes = self.bytes[count:]
        self.most = max(self.most, len(self.arrived))

    def read(self):
        data = self.arrived
        self.arrived = bytearray()
        return data


class End:
    def __init__(self, piece, window, receives, sends):
        self.line = Line(7, piece, window)
        self.splitter = Splitter(400, lambda data: None)
        self.receives = receives
        self.sends = sends
        self.got = []

    def step(self, now):
        for packet in self.splitter.feed(self.receives.read()):
            payload = self.line.feed(packet, now)
            if payload is not None:
                self.got.append(payload)
        while True:
            data = self.line.poll(now)
            if data is None:
                break
            self.sends.write(data)


def talk(up, down, seed=1, noise=0, blocked=None, step_ms=5, start=0):
    """Send both lists, host to device and back; gives (ms it took, wires)."""
    random = Random(seed)
    there = Wire(random, noise, 260)
    back = Wire(random, noise)
    host = End(53, 128, back, there)
    device = End(120, 1024, there, back)
    for payload in up:
        host.line.send(payload)
    for payload in down:
        device.line.send(payload)
    now = start
    while len(host.got) < len(down) or len(device.got) < len(up):
        there.pass_time(step_ms)
        back.pass_time(step_ms)
        now = now + step_ms & 0x3FFFFFFF
        host.step(now)
        elapsed = now - start & 0x3FFFFFFF
        if not blocked or not blocked[0] <= elapsed < blocked[1]:
            device.step(now)
        assert elapsed < 600000, "it does not end"
    assert device.got == up
    assert host.got == down
    return elapsed, there, back


def payloads(seed, count, biggest=2048):
    random = Random(seed)
    return [
        bytes([random.below(4) * 85]) * random.below(biggest + 1) + bytes([i])
        for i in range(count)
    ]


def test_payloads_of_every_size():
    sizes = [0, 1, 52, 53, 54, 105, 106, 107, 1000, 2047, 2048]
    both = [b"\0" * size for size in sizes]
    talk(both, both)


def test_fills_the_line():
    up = [bytes(1000)] * 30
    ms, there, _ = talk(up, [], step_ms=1)
    rate = 30000 / ms * 1000
    assert rate > 0.7 * 11520, rate
    assert there.most <= 128 and there.dropped == 0


def test_both_ways_at_once():
    talk(payloads(1, 20), payloads(2, 20))


def test_never_more_under_way_than_allowed():
    _, there, _ = talk([bytes(2000)] * 5, [], blocked=(20, 8000))
    assert there.dropped == 0  # the questions of 8 s fit, too


def test_long_block_overflows_the_ring_and_nothing_is_lost():
    _, there, _ = talk([bytes(2000)] * 5, payloads(5, 5), blocked=(20, 60000))
    assert there.dropped > 0


def test_noise():
    for seed in range(200 if deep else 12):
        for noise in (2, 10, 40):
            talk(payloads(seed, 4), payloads(seed + 1000, 4), seed, noise)
    talk(payloads(1, 3, 200), payloads(2, 3, 200), 5, 160)


def test_time_may_go_round():
    talk(payloads(3, 5), payloads(4, 5), 5, 20, start=0x3FFFFFFF - 700)


def test_packets_of_another_session_are_passed_over():
    line = Line(7, 53, 128)
    other = Line(8, 53, 128)
    other.send(b"stale")
    content = Splitter(400, None).feed(other.poll(0))[0]
    assert line.feed(content, 0) is None
    assert line.poll(0) is None
    for short in (b"", b"\x07", b"\x07\x01\0"):
        assert line.feed(short, 0) is None


def test_an_acknowledgement_of_what_was_not_sent_changes_nothing():
    line = Line(7, 53, 128)
    line.send(b"x" * 200)
    line.poll(0)
    for number in range(2, 256):
        line.feed(bytes([7, 0, 0, number]), 0)
    assert line.waiting == 4
    line.feed(bytes([7, 0, 0, 1]), 0)
    assert line.waiting == 3


def test_silence_is_asked_about_more_and_more_rarely():
    line = Line(7, 53, 128)
    line.send(b"x")
    assert line.poll(0)
    asked = []
    for now in range(0, 10000, 10):
        data = line.poll(now)
        if data:
            assert Splitter(400, None).feed(data)[0][1] & ASK
            asked.append(now)
    assert 5 < len(asked) < 12


def test_payload_without_end_is_not_kept():
    line = Line(7, 53, 128)
    done = []
    for i in range(300):
        payload = line.feed(bytes([7, 1, i & 255, 0]) + bytes(200), 0)
        if payload:
            done.append(len(payload))
    assert max(done) <= 2048 + 200


def test_opening_is_welcomed():
    packet = OPENING + b"1 1 0123456789abcdef"
    nonce, wire, begins = welcome(packet, 9)
    assert (nonce, begins) == (b"0123456789abcdef", True)
    answer = Splitter(400, None).feed(wire)[0]
    assert answer == bytes([9, START, 0, 0]) + b"kodkod 1 1 0123456789abcdef"


def test_opening_of_another_version_is_told_this_one():
    nonce, wire, begins = welcome(OPENING + b"5 2 0123456789abcdef", 9)
    assert not begins
    assert Splitter(400, None).feed(wire)[0][4:] == b"kodkod 0 1 0123456789abcdef"


def test_session_that_is_not_there_is_said_to_be_gone():
    line = Line(7, 53, 128)
    line.send(b"anybody?")
    packet = Splitter(400, None).feed(line.poll(0))[0]
    assert Splitter(400, None).feed(gone(packet)) == [bytes([7, END, 0, 0])]


def test_what_is_no_opening():
    for packet in (b"", b"\x07\x01\0\0data", OPENING, OPENING + b"one two three", OPENING[:-1]):
        assert welcome(packet, 9) is None
    assert frame(OPENING)[0] == 0
