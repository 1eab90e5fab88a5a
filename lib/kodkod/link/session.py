# One host's session on the device: numbered requests come in, replies and events go out.
# It knows a carrier by receive(), send(payload) and close(); docs/protocol.md has every message.

import asyncio

from kodkod.errors import Busy, ClientClosed, KodkodError, to_wire
from kodkod.message import pack, unpack

try:
    from micropython import const
except ImportError:
    const = int

# tools/kod/messages.py has the same numbers. The first four of the host are requests, each gets
# one REPLY or ERROR. NOTE and CLOSED are events, each takes one of the host's credits. Replies
# and events leave in the order in which they came about.
_OPEN = const(1)
_INVOKE = const(2)
_CLOSE = const(3)
_PING = const(4)
_CANCEL = const(5)
_CREDIT = const(6)
_BYE = const(7)
_HELLO = const(8)
_REPLY = const(9)
_ERROR = const(10)
_NOTE = const(11)
_CLOSED = const(12)
# Of an event: CLOSED, a NOTE that has to stay, a NOTE that makes room for newer ones.
_END = const(0)
_STAYS = const(1)
_GOES = const(2)

_PAYLOAD = const(2048)
_LEVELS = const(17)  # a value's own 16 and the message around it
_CLIENTS = const(16)  # open ones of a link
_REQUESTS = const(16)  # unanswered ones of a link
_REQUEST_BYTES = const(2560)  # of those together
_EVENTS = const(64)  # that wait for credit, or the most credit there can be
_EVENT_BYTES = const(4096)
_NOTE_HEAD = const(20)  # of a NOTE's bytes
_CREDITS = const(16)  # at the start
_REPLIES = const(32)  # while more wait to be sent, nothing is read
_SILENT_S = const(20)  # without a message from the host
_STUCK_S = const(10)  # for one message to be sent


class Session:
    """Serves one host over `carrier` until either side ends.

    `hello` is what the host is told first, `wake` a Signal. `await open_client(session, number,
    selector, timeout_ms, queue, overflow)` gives a ServiceClient that tells the session, under
    that number, of its events.
    """

    def __init__(self, carrier, hello, open_client, wake):
        self._carrier = carrier
        self._open = open_client
        self._clients = {}  # number of the request that opened it -> client
        self._tasks = {}  # number of a request -> (its task, its bytes)
        self._held = 0  # bytes of these requests
        self._replies = [(0, pack([_HELLO, hello]))]  # (how many events come first, payload)
        self._events = []  # (its number, (client, handle), payload, kind)
        self._queued = 0  # number of the last event
        self._event_bytes = 0
        self._lost = {}  # (client, handle) -> notifications that found no room
        self._credit = _CREDITS
        self._silent = 0  # seconds
        self._stuck = -1  # seconds, -1: nothing is being sent
        self._wake = wake

    async def run(self):
        """Serve until the line is lost or the host says goodbye; then close what it opened."""
        self._main = asyncio.current_task()
        tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._watch())]
        try:
            going = True
            while going:
                payload = await self._carrier.receive()
                self._silent = 0
                going = self._take(unpack(payload, _LEVELS), len(payload))
                while len(self._replies) > _REPLIES:
                    await asyncio.sleep(0.02)
        except (EOFError, OSError):
            pass
        except Exception as exc:
            print("link ended:", repr(exc))  # what came is not this protocol
        finally:
            for task, _ in list(self._tasks.values()):
                tasks.append(task)
            for task in tasks:
                task.cancel()
            for client in list(self._clients.values()):
                client.close()
            self._carrier.close()

    def _take(self, message, size):
        # One message of the host; False when it is the last.
        kind = message[0]
        if kind == _BYE:
            return False
        number = message[1]
        if kind == _CREDIT:
            self._credit = min(self._credit + number, _EVENTS)
            self._wake.set()
        elif kind == _CANCEL:
            task = self._finished(number)
            if task:
                task.cancel()
                self._fail(number, KodkodError("cancelled"))
        elif kind == _PING:
            self._reply(pack([_REPLY, number, None]))
        elif kind == _CLOSE:
            self._reply(pack([_REPLY, number, self._close(message[2], message[3])]))
        elif not 0 < kind < _CLOSE or number in self._tasks or number in self._clients:
            raise ValueError("unknown message")
        elif len(self._tasks) == _REQUESTS or self._held + size > _REQUEST_BYTES:
            self._fail(number, Busy("too many calls on this link"))
        else:
            self._held += size
            self._tasks[number] = asyncio.create_task(self._request(message)), size
        return True

    async def _request(self, message):
        number = message[1]
        try:
            reply = [_REPLY, number, await self._do(*message)]
            reply = pack(reply, _PAYLOAD, "reply", _LEVELS)
        except Exception as exc:
            if self._finished(number):
                self._fail(number, exc)
        else:
            if self._finished(number):
                self._reply(reply)

    def _finished(self, number):
        # The request's task when it is still to be answered, else None.
        task, size = self._tasks.pop(number, (None, 0))
        self._held -= size
        return task

    async def _do(self, kind, number, target, what, arguments=None, timeout_ms=0):
        if kind == _OPEN:
            if len(self._clients) == _CLIENTS:
                raise Busy("too many services open on this link")
            client = await self._open(self, number, target, what, arguments, timeout_ms)
            self._clients[number] = client
            return [client.name, client.major, client.minor, client.patch, client.id]
        if target not in self._clients:
            raise ClientClosed("no such client on this link")
        return await self._clients[target].invoke(what, arguments, timeout_ms)

    def _close(self, number, handle):
        client = self._clients.get(number)
        if client is None:
            return {}
        if handle is None:
            del self._clients[number]
            client.close()
        else:
            client._close_handle(handle)
        return self._drop(number, handle)

    def _fail(self, number, exc):
        self._reply(pack([_ERROR, number] + to_wire(exc)))

    def _reply(self, payload):
        self._replies.append((self._queued, payload))
        self._wake.set()

    # Events

    def notified(self, client, handle, value, queue, stays):
        """Queue a notification. When there is no room the oldest go that may, of its own handle
        first. False when it is itself lost: too large, no other goes, or it `stays` once it is
        queued and so do the others of its handle."""
        key = client, handle
        events = self._events
        payload = pack(value, _EVENT_BYTES, "notification")
        if len(payload) > _PAYLOAD - _NOTE_HEAD:
            return self._lose(key)
        while True:
            own = [event for event in events if event[1] == key]
            if (
                len(events) < _EVENTS
                and self._event_bytes + len(payload) <= _EVENT_BYTES
                and len(own) < queue
            ):
                self._event(key, payload, _STAYS if stays else _GOES)
                return True
            victims = [] if stays else own or [event for event in events if event[3] == _GOES]
            if not victims:
                return self._lose(key)
            self._lose(victims[0][1])
            self._event_bytes -= len(victims[0][2])
            events.remove(victims[0])

    def _lose(self, key):
        self._lost[key] = self._lost.get(key, 0) + 1
        return False

    def closed(self, client, handle, reason):
        """Tell the host, after what is queued, that a handle (None: the client) is closed."""
        self._event((client, handle), pack(reason), _END)
        if len(self._events) > 2 * _EVENTS:
            self._main.cancel()  # the host gives no credit

    def _event(self, key, payload, kind):
        self._queued += 1
        self._events.append((self._queued, key, payload, kind))
        self._event_bytes += len(payload)
        self._wake.set()

    def _drop(self, client, handle):
        # The host has closed a handle, or all (None) of a client: nothing more of it is sent.
        # Returns how many notifications each of its handles has lost.
        lost = {}
        left = []
        for event in self._events:
            key = event[1]
            if key[0] != client or handle not in (None, key[1]):
                left.append(event)
                continue
            self._event_bytes -= len(event[2])
            if event[3] != _END:
                self._lose(key)
        self._events = left
        for key in list(self._lost):
            if key[0] == client and handle in (None, key[1]):
                lost[key[1]] = self._lost.pop(key)
        return lost

    # Sending

    async def _write(self):
        try:
            while True:
                events = self._events
                replies = self._replies
                if replies and (not events or replies[0][0] < events[0][0]):
                    payload = replies.pop(0)[1]
                elif self._credit and events:
                    self._credit -= 1
                    _, key, payload, kind = events.pop(0)
                    self._event_bytes -= len(payload)
                    # What was lost is said as of now. With the value it is an array of five.
                    head = [_NOTE, key[0], key[1], self._lost.get(key, 0)]
                    if kind == _END:
                        head[0] = _CLOSED
                        self._lost.pop(key, None)
                    payload = b"\x95" + pack(head)[1:] + payload
                else:
                    await self._wake.wait()
                    continue
                self._stuck = 0
                await self._carrier.send(payload)
                self._stuck = -1
        except OSError:
            self._main.cancel()

    async def _watch(self):
        # Seconds of this loop, not of the clock: a device that was busy itself blames nobody.
        while self._silent < _SILENT_S and self._stuck < _STUCK_S:
            await asyncio.sleep(1)
            self._silent += 1
            if self._stuck >= 0:
                self._stuck += 1
        self._main.cancel()
