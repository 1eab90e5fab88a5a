# One host's session on the device: numbered requests come in, replies and events go out.
# It knows a carrier by receive(), send(payload) and close(); docs/protocol.md has every message.

import asyncio

from kodkod.errors import Busy, ClientClosed, KodkodError, to_wire
from kodkod.message import pack, unpack

try:
    from micropython import const
except ImportError:

    def const(value):
        return value


# tools/kod/link.py has the same numbers. The first four of the host are requests, each gets one
# REPLY or ERROR; NOTE and CLOSED are events, each takes one of the host's credits.
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

_PAYLOAD = const(2048)
_CLIENTS = const(16)  # open ones of a link
_REQUESTS = const(16)  # unanswered ones of a link
_REQUEST_BYTES = const(4096)  # of those together
_EVENTS = const(64)  # that wait for credit, or the most credit there can be
_EVENT_BYTES = const(4096)
_CREDITS = const(16)  # at the start
_REPLIES = const(32)  # while more wait to be sent, nothing is read
_SILENT_S = const(20)  # without a message from the host
_STUCK_S = const(10)  # for one message to be sent


class Session:
    """Serves one host over `carrier` until either side ends.

    `hello` is what the host is told first. `await open_client(session, number, selector,
    timeout_ms)` gives a ServiceClient that tells the session, under that number, of its events.
    """

    def __init__(self, carrier, hello, open_client):
        self._carrier = carrier
        self._open = open_client
        self._clients = {}  # number of the request that opened it -> client
        self._tasks = {}  # number of a request -> (its task, its bytes)
        self._held = 0  # bytes of these requests
        self._replies = [pack([_HELLO, hello])]
        self._events = []  # (client, handle, payload)
        self._event_bytes = 0
        self._lost = {}  # (client, handle) -> notifications that found no room
        self._credit = _CREDITS
        self._silent = 0  # seconds
        self._stuck = -1  # seconds, -1: nothing is being sent
        self._wake = asyncio.Event()
        self._wake.set()

    async def run(self):
        """Serve until the line is lost or the host says goodbye; then close what it opened."""
        self._main = asyncio.current_task()
        tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._watch())]
        try:
            going = True
            while going:
                payload = await self._carrier.receive()
                self._silent = 0
                going = self._take(unpack(payload), len(payload))
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
        elif not 0 < kind <= _CLOSE or number in self._tasks or number in self._clients:
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
            reply = pack([_REPLY, number, await self._do(*message)], _PAYLOAD, "reply")
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
            client = await self._open(self, number, target, what)
            self._clients[number] = client
            return [client.name, client.major, client.minor, client.patch]
        if target not in self._clients:
            raise ClientClosed("no such client on this link")
        client = self._clients[target]
        if kind == _INVOKE:
            return await client.invoke(what, arguments, timeout_ms)
        if what is None:
            del self._clients[target]
            client.close()
        else:
            client._close_handle(what)
        self._drop(target, what)

    def _fail(self, number, exc):
        self._reply(pack([_ERROR, number] + to_wire(exc)))

    def _reply(self, payload):
        self._replies.append(payload)
        self._wake.set()

    # Events

    def notified(self, client, handle, value):
        """Queue a notification; when there is no room the oldest of its handle go."""
        key = client, handle
        lost = self._lost.get(key, 0)
        try:
            payload = pack([_NOTE, client, handle, lost, value], _PAYLOAD)
        except KodkodError:
            payload = bytes(_EVENT_BYTES + 1)  # too large: lost
        events = self._events
        while len(events) >= _EVENTS or self._event_bytes + len(payload) > _EVENT_BYTES:
            lost += 1
            self._lost[key] = lost
            for i, event in enumerate(events):
                if event[0] == key:
                    self._event_bytes -= len(events.pop(i)[1])
                    break
            else:
                return
        self._event(key, payload)

    def closed(self, client, handle, reason):
        """Tell the host, after what is queued, that a handle (None: the client) is closed."""
        key = client, handle
        self._event(key, pack([_CLOSED, client, handle, self._lost.pop(key, 0), reason]))
        if len(self._events) > 2 * _EVENTS:
            self._main.cancel()  # the host gives no credit

    def _event(self, key, payload):
        self._events.append((key, payload))
        self._event_bytes += len(payload)
        self._wake.set()

    def _drop(self, client, handle):
        # The host has closed a handle, or all (None) of a client: nothing more of it is sent.
        self._lost.pop((client, handle), None)
        self._events = [
            event
            for event in self._events
            if event[0][0] != client or handle not in (None, event[0][1])
        ]
        self._event_bytes = sum([len(event[1]) for event in self._events])

    # Sending: events first, so that a reply never overtakes what was notified before it

    async def _write(self):
        try:
            while True:
                if self._credit and self._events:
                    self._credit -= 1
                    payload = self._events.pop(0)[1]
                    self._event_bytes -= len(payload)
                elif self._replies:
                    payload = self._replies.pop(0)
                else:
                    self._wake.clear()
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
