"""A link to a device: its services, called from plain code and from any thread.

Each connection has a thread of its own with an asyncio loop; what is here may be called from
everywhere, callbacks included. Every wait has an end: a result, a typed error, or `LinkLost`.
"""

from __future__ import annotations

import asyncio
import collections
import itertools
import random
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Protocol

from kodkod import message
from kodkod.errors import CallTimeout, KodkodError, RemoteError, from_wire
from kodkod.message import unpack

from kod import messages
from kod.remote_service import Deliverer, RemoteService

if TYPE_CHECKING:
    from kod.link_console import Stream

PING_S = 5.0  # without anything sent
SILENT_S = 35.0  # more than the longest step that a device allows what a person types
# After which a device that hung up at the door is asked again.
_AGAIN_S = (0.05, 0.1, 0.3, 1.0, 2.0)
# As in lib/kodkod/system/provider.py, for what runs out of memory around the service.
_NO_MEMORY = "the device has no memory for that: kod stop or uninstall an app, or kod reset"
_GRACE_S = 2.0  # for the device's own CallTimeout to arrive
_CREDIT_EVERY = 8


class LinkLost(KodkodError):
    """The line to the device ended; what was under way may or may not have happened."""


class _HungUp(LinkLost):
    """The other end hung up before it had let this one in."""


class Carrier(Protocol):
    """What a link needs of a line: whole payloads, in order."""

    async def receive(self) -> bytes: ...

    def send(self, payload: bytes) -> None: ...

    async def close(self) -> None: ...


class Connection:
    """One link. `hello` is what the device said of itself once the key was proved.

    `dial` makes the carrier; `where` names the device in errors. Use it in `with`, or `close()`.
    """

    def __init__(
        self,
        dial: Callable[[], Awaitable[Carrier]],
        where: str,
        timeout_ms: int = messages.OPEN_MS,
    ) -> None:
        self.hello: dict[str, Any] = {}
        self.where = where
        self.lost: KodkodError | None = None  # why the link has ended
        self._dial = dial
        self._timeout_ms = timeout_ms
        self._numbers = itertools.count(1)
        self._waiting: collections.deque[messages.Request] = collections.deque()
        self._sent: dict[int, messages.Request] = {}  # until the device has answered
        self._counted = 0  # of these, those that take room there
        self._bytes = 0  # of these
        self._services: dict[int, RemoteService] = {}
        self._events = 0  # taken, not yet given credit for
        self._heard = self._spoken = time.monotonic()
        self._deliverer = Deliverer()
        self._ready: Future[None] = Future()
        self._loop = asyncio.new_event_loop()
        self._main: asyncio.Task[None] | None = None
        self._closing = False
        self._gate = threading.Lock()
        self._shut = False  # nothing more reaches the loop
        self._thread = threading.Thread(target=self._run, name="kod-link", daemon=True)
        self._thread.start()
        try:
            self._ready.result()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def open(
        self,
        service: str,
        major: int | None = None,
        minor: int = 0,
        timeout_ms: int = messages.OPEN_MS,
    ) -> RemoteService:
        """Open a service by its uuid and version, or by its name (any version).

        The device waits up to `timeout_ms` for a provider; then ServiceNotFound.
        """
        selector = [service] if major is None else [service, major, minor]
        opened = RemoteService(self, next(self._numbers))
        self._wait(self.begin_open(opened, selector, timeout_ms))
        return opened

    def begin_open(
        self, service: RemoteService, selector: list[Any], timeout_ms: int | None, *options: Any
    ) -> Future[Any]:
        """Open `service`, with a number of its own, without waiting. `selector` and `options` are
        those of OPEN in docs/protocol.md; cancelling the future cancels the wait."""

        def settled(future: Future[Any]) -> None:
            if future.cancelled() or future.exception():
                self._services.pop(service.number, None)

        self._services[service.number] = service
        content = [messages.OPEN, service.number, selector, timeout_ms, *options]
        try:
            return self._submit(content, timeout_ms, settled)
        except BaseException:  # it cannot be packed
            del self._services[service.number]
            raise

    def ping(self, timeout_ms: int = messages.OPEN_MS) -> float:
        """Milliseconds for an empty request and its reply."""
        began = time.perf_counter()
        self._wait(self._submit([messages.PING, next(self._numbers)], timeout_ms))
        return (time.perf_counter() - began) * 1000

    def close(self) -> None:
        """Say goodbye and hang up. Idempotent, never raises; what still waits gets LinkLost."""
        self._soon(self._say_goodbye)
        if threading.current_thread() is not self._thread:
            self._thread.join()
        self._deliverer.stop()

    # From any thread to the loop

    def _soon(self, function: Callable[..., None], *args: Any) -> bool:
        with self._gate:
            if not self._shut:
                self._loop.call_soon_threadsafe(function, *args)
            return not self._shut

    def _submit(
        self,
        content: list[Any],
        timeout_ms: int | None,
        settled: Callable[[Future[Any]], None] | None = None,
    ) -> Future[Any]:
        payload = message.pack(content, messages.PAYLOAD, "the call", messages.LEVELS)
        request = messages.Request(content, payload, timeout_ms)
        if settled:
            request.future.add_done_callback(settled)
        request.future.add_done_callback(lambda future: self._left(future, request))
        if not self._soon(self._begin, request):
            request.settle(error=self._ended())
        return request.future

    def _left(self, future: Future[Any], request: messages.Request) -> None:
        if future.cancelled():
            self._soon(self._cancel, request)

    def _wait(self, future: Future[Any]) -> Any:
        try:
            return future.result()
        except BaseException:  # Ctrl-C too: what nobody waits for is cancelled
            future.cancel()
            raise

    def _ended(self) -> KodkodError:
        # A new one each time: an exception that is raised twice collects tracebacks.
        return LinkLost(str(self.lost) if self.lost else f"the link to {self.where} is closed")

    # In the loop

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._live())
            with self._gate:
                self._shut = True
            # What was asked for until now finds the link ended.
            self._loop.run_until_complete(asyncio.sleep(0))
        finally:
            self._loop.close()

    async def _live(self) -> None:
        self._main = asyncio.current_task()
        carrier = None
        keeper = None
        error: KodkodError = LinkLost(f"the link to {self.where} is closed")
        try:
            if self._closing:
                raise asyncio.CancelledError
            carrier = await asyncio.wait_for(self._dial(), self._timeout_ms / 1000)
            self._carrier = carrier
            first = await asyncio.wait_for(carrier.receive(), self._timeout_ms / 1000)
            kind, self.hello = unpack(first)
            if kind != messages.HELLO:
                raise ValueError("no hello")
            keeper = asyncio.ensure_future(self._keep())
            self._ready.set_result(None)
            while True:
                payload = await carrier.receive()
                self._heard = time.monotonic()
                self._take(unpack(payload, messages.LEVELS))
        except asyncio.CancelledError:  # close(), or _keep
            error = self.lost or error
        except asyncio.TimeoutError:
            error = LinkLost(f"{self.where} did not answer within {self._timeout_ms} ms")
        except EOFError:
            error = self._hung_up(f"{self.where} ended the link")
        except (ConnectionResetError, BrokenPipeError) as exc:
            error = self._hung_up(f"{self.where}: {exc.strerror or exc}")
        except OSError as exc:
            error = LinkLost(f"{self.where}: {exc.strerror or exc}")
        except LinkLost as exc:
            error = exc
        except KodkodError as exc:
            error = exc if not self._ready.done() else LinkLost(f"{self.where}: {exc}")
        except (ValueError, TypeError, LookupError) as exc:
            error = LinkLost(f"{self.where} sent what is not the protocol: {exc}")
        if keeper:
            keeper.cancel()
        self._finish(error)
        if carrier:
            await carrier.close()

    def _hung_up(self, why: str) -> LinkLost:
        return LinkLost(why) if self._ready.done() else _HungUp(why)

    def _finish(self, error: KodkodError) -> None:
        # Every wait ends here; whoever asks later finds `lost`.
        self.lost = error
        if not self._ready.done():
            self._ready.set_exception(error)
        for request in [*self._waiting, *self._sent.values()]:
            request.settle(error=self._ended())
        self._waiting.clear()
        self._sent.clear()
        for service in list(self._services.values()):
            service._over("link")

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(1)
            now = time.monotonic()
            if now - self._heard > SILENT_S:
                self.lost = LinkLost(f"{self.where} is silent for {SILENT_S:.0f} s")
                assert self._main
                self._main.cancel()
            elif now - self._spoken > PING_S:
                self._send([messages.PING, next(self._numbers)])

    def _say_goodbye(self) -> None:
        if not self._closing:
            self._closing = True
            if self.lost or not self._main:
                return  # it is ending, or sees the flag when it begins
            if self._ready.done():
                self._send([messages.BYE])
            self._main.cancel()

    def _send(self, content: list[Any]) -> None:
        self._post(message.pack(content))

    def _post(self, payload: bytes) -> None:
        assert self._carrier
        self._spoken = time.monotonic()
        self._carrier.send(payload)

    def _begin(self, request: messages.Request) -> None:
        if self.lost or self._closing:
            request.settle(error=self._ended())
            return
        if request.timeout_ms is not None:
            delay = request.timeout_ms / 1000 + _GRACE_S
            request.timer = self._loop.call_later(delay, self._expire, request)
        if not request.size and request.client not in [other.client for other in self._waiting]:
            self._start(request)
        else:
            self._waiting.append(request)
            self._pump()

    def _pump(self) -> None:
        # As many as the device takes at once.
        while self._waiting:
            request = self._waiting[0]
            size = self._bytes + request.size
            full = self._counted >= messages.MAX_REQUESTS or size > messages.MAX_REQUEST_BYTES
            if request.size and full:
                return
            self._waiting.popleft()
            self._start(request)

    def _start(self, request: messages.Request) -> None:
        self._sent[request.number] = request
        self._counted += request.size > 0
        self._bytes += request.size
        self._post(request.payload)

    def _expire(self, request: messages.Request) -> None:
        late = CallTimeout(f"{self.where}: no answer within {request.timeout_ms} ms")
        if request.settle(error=late):
            self._cancel(request)

    def _cancel(self, request: messages.Request) -> None:
        # Its place stays taken until the device has answered.
        if request in self._waiting:
            self._waiting.remove(request)
            self._pump()
        elif request.number in self._sent:
            self._send([messages.CANCEL, request.number])

    def _take(self, content: Any) -> None:
        kind, number, *rest = content
        if kind in (messages.REPLY, messages.ERROR):
            self._answered(number, kind, rest)
        elif kind in (messages.NOTE, messages.CLOSED):
            self._events += 1
            if self._events >= _CREDIT_EVERY:
                self._send([messages.CREDIT, self._events])
                self._events = 0
            service = self._services.get(number)
            if service:
                handle, lost, value = rest
                if kind == messages.NOTE:
                    service._notified(handle, lost, value)
                elif handle is None:
                    service._over(value)
                else:
                    service._closed(handle, lost, value)
        elif kind == messages.BYE:
            raise LinkLost(f"{self.where} ended the link: {number}")
        else:
            raise ValueError(f"message of kind {kind}")

    def _answered(self, number: int, kind: int, rest: list[Any]) -> None:
        request = self._sent.get(number)
        if request is None:
            return  # a keep-alive
        # What is no proper answer leaves the request where the end of the link finds it.
        error = _error(*rest) if kind == messages.ERROR else None
        result: Any = None if error else rest[0]
        if request.kind == messages.OPEN and not error:
            if not isinstance(result[0], str):
                raise ValueError("no service")
            if opened := self._services.get(number):
                opened.name, opened.version = result[0], tuple(result[1:4])
        del self._sent[number]
        self._counted -= request.size > 0
        self._bytes -= request.size
        if not request.settle(result, error) and request.kind == messages.OPEN and not error:
            self._forget(number)  # it opened, but nobody waits for it any more
        self._pump()

    def _forget(self, number: int) -> None:
        self._services.pop(number, None)
        closing = next(self._numbers)
        content = [messages.CLOSE, closing, number, None]
        self._begin(messages.Request(content, message.pack(content), messages.CALL_MS))


def connect_tcp(
    host: str, port: int, key: bytes, timeout_ms: int = messages.OPEN_MS
) -> Connection:
    """Connect to a device in the network and prove the key, both ways.

    AuthFailed: the keys differ. Incompatible: no device, or another protocol. Busy: it has no
    free link. LinkLost: nothing answers.
    """
    from kod import link_tcp

    def connect() -> Connection:
        return Connection(lambda: link_tcp.connect(host, port, key), f"{host}:{port}", timeout_ms)

    for pause in _AGAIN_S:
        try:
            return connect()
        except _HungUp:  # it had other strangers at the door
            time.sleep(pause * random.uniform(0.5, 1.5))
    return connect()


def connect_console(
    stream: Stream,
    where: str,
    on_text: Callable[[bytes], object] = lambda data: None,
    timeout_ms: int = messages.OPEN_MS,
) -> Connection:
    """Begin a session over a serial line, which is closed with it.

    `on_text(data)` gets, in the connection's thread, what else the line carries. LinkLost:
    nothing there speaks the protocol.
    """
    from kod import link_console

    return Connection(lambda: link_console.connect(stream, on_text), where, timeout_ms)


def _error(*described: Any) -> Exception:
    error: Exception = from_wire(*described)
    if not isinstance(error, RemoteError):
        return error
    if error.type == "MemoryError":  # of the system's: a service ends of one
        return RemoteError(_NO_MEMORY, "MemoryError")
    if error.traceback:
        from kod.names import readable

        error.traceback = readable(str(error.traceback))
    return error
