# The service `kodkod/log`: the lines that apps printed, past and to come.

from micropython import const

from kodkod.apps import logs
from kodkod.services import ServiceResource
from kodkod.system.provider import is_tight

_PIECE = const(700)  # bytes of text in one message
_SMALL = const(200)  # where the heap has no larger pieces left


class Methods:
    """A line is [seq, ms, level, app, text]; a gap in seq means lines of others, or dropped."""

    def __init__(self, provider):
        self.provider = provider

    def do_read(self, client, name=None, since=0):
        """The oldest lines after number `since`, as many as fit one message."""
        return piece(name, since)

    def do_follow(self, client, name=None, since=0):
        """A resource that notifies of lines after number `since`, in lists."""
        return Follower(self.provider, client, name, since)

    def do_dropped(self, client):
        """How many lines of each app were dropped because the pool was full."""
        return dict(logs.dropped)


def piece(name, since):
    """Lines of `name` (or of all) after number `since`, about 0.7 KB at most."""
    lines = []
    room = _SMALL if is_tight() else _PIECE
    for line in logs.lines:
        if line[0] > since and (name is None or line[3] == name):
            room -= len(memoryview(line[4])) + len(line[3]) + 12
            if room < 0 and lines:
                break
            lines.append(line)
    return lines


class Follower(ServiceResource):
    """Sends lines as they come."""

    def __init__(self, provider, client, name, since):
        super().__init__(provider, client, notifiable=True)
        self.name = name
        self.since = since
        logs.followers.append(self._line)
        while True:
            lines = piece(name, self.since)
            if not lines:
                break
            self.since = lines[-1][0]
            self.notify(lines)

    def _line(self, line):
        if self.name is None or line[3] == self.name:
            self.notify([line])

    def on_closed(self):
        logs.followers.remove(self._line)
