"""A service of a device that is open over a link, and what its resources notify."""

from __future__ import annotations

import collections
import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from kodkod import message
from kodkod.errors import CallTimeout, ClientClosed, KodkodError, ServiceClosed

from kod.messages import CALL_MS, CLOSE, INVOKE

if TYPE_CHECKING:
    from kod.link import Connection

_KEPT = 4096  # notifications that nobody has taken, of one handle

_log = logging.getLogger("kod.notifications")


class RemoteService:
    """An open service of the device."""

    def __init__(self, connection: Connection, number: int) -> None:
        self.connection = connection
        self.number = number
        self.name = ""
        self.version: tuple[int, ...] = ()
        self.reason: str | None = None  # why it is closed: "closed", "service" or "link"
        self._streams: dict[int, Notifications] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> RemoteService:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def submit(
        self, index: int | str, arguments: Any = None, timeout_ms: int | None = CALL_MS
    ) -> Future[Any]:
        """Call method `index` without waiting; cancelling the future cancels the call."""
        if self.reason == "closed":
            raise ClientClosed(f"{self.name} was closed here")
        if self.reason == "service":
            raise ServiceClosed(f"{self.name}: its provider is gone")
        arguments = message.copy(arguments, name="arguments")
        content = [INVOKE, next(self.connection._numbers), self.number, index, arguments]
        return self.connection._submit([*content, timeout_ms], timeout_ms)

    def call(
        self, index: int | str, arguments: Any = None, timeout_ms: int | None = CALL_MS
    ) -> Any:
        """Call method `index` and wait; `timeout_ms=None` waits as long as the link lives."""
        return self.connection._wait(self.submit(index, arguments, timeout_ms))

    def call_many(
        self,
        calls: Iterable[tuple[int | str, Any]],
        timeout_ms: int | None = CALL_MS,
        ahead: int = 8,
    ) -> Iterator[Any]:
        """The results of many calls in order, `ahead` of them under way: fills the line.

        The first that fails ends it, and cancels those behind it.
        """
        under_way: collections.deque[Future[Any]] = collections.deque()
        try:
            for index, arguments in calls:
                under_way.append(self.submit(index, arguments, timeout_ms))
                if len(under_way) >= ahead:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()

    def notifications(self, handle: int) -> Notifications:
        """What the resource `handle` notifies, from its first notification on."""
        return self._stream(handle)

    def on_notified(
        self,
        handle: int,
        callback: Callable[[Any], object],
        on_closed: Callable[[str], object] | None = None,
    ) -> Notifications:
        """Have `callback(value)` called for each notification, and `on_closed(reason)` last.

        Callbacks of one connection run one after the other in a thread of their own.
        """
        stream = self._stream(handle)
        stream._call(callback, on_closed)
        return stream

    def close_handle(self, handle: int) -> None:
        """Close a resource, and wait until the device has. Idempotent, never raises."""
        self._stream(handle)._over("closed")
        self._close(handle)
        with self._lock:
            self._streams.pop(handle, None)

    def close(self) -> None:
        """Close the client and its resources, and wait until the device has. Never raises."""
        if self.reason != "closed":
            gone = self.reason == "link"
            self._over("closed")
            if not gone:
                self._close(None)
            self.connection._services.pop(self.number, None)

    def _close(self, handle: int | None) -> None:
        content = [CLOSE, next(self.connection._numbers), self.number, handle]
        # An error means that the link has ended, and with it what it carried.
        with contextlib.suppress(KodkodError):
            lost = self.connection._wait(self.connection._submit(content, CALL_MS))
            for closed, count in (lost or {}).items():  # an older library does not say
                if closed in self._streams:
                    self._streams[closed]._over("closed", count)

    def _stream(self, handle: int) -> Notifications:
        with self._lock:
            if handle not in self._streams:
                stream = Notifications(self, handle)
                self._streams[handle] = stream
                if self.reason:
                    stream._over(self.reason)
            return self._streams[handle]

    def _notified(self, handle: int, lost: int, value: Any) -> None:
        self._stream(handle)._add(value, lost)

    def _closed(self, handle: int, lost: int, reason: str) -> None:
        self._stream(handle)._over(reason, lost)

    def _over(self, reason: str) -> None:
        with self._lock:
            if self.reason is None or reason == "closed":
                self.reason = reason
            streams = list(self._streams.values())
        for stream in streams:
            stream._over(reason)


class Notifications:
    """What one resource notifies: iterate over it, or `get` one by one.

    The iteration ends when the resource is closed here or there; a service that goes away is
    ServiceClosed, a lost line LinkLost, after all that had arrived.
    """

    def __init__(self, service: RemoteService, handle: int) -> None:
        self.service = service
        self.handle = handle
        self.reason: str | None = None  # why it is closed: "closed", "resource", "service", "link"
        self._lost_there = 0
        self._lost_here = 0
        self._values: collections.deque[Any] = collections.deque()
        self._changed = threading.Condition()
        self._callback: Callable[[Any], object] | None = None
        self._on_closed: Callable[[str], object] | None = None
        self._called = False  # a delivery is under way or has been asked for

    @property
    def lost(self) -> int:
        """How many were dropped because the device or this side could not keep more."""
        return self._lost_there + self._lost_here

    def get(self, timeout_ms: int | None = None) -> Any:
        """The next notification; CallTimeout when none comes in time, EOFError after the last."""
        with self._changed:
            arrived = self._changed.wait_for(
                lambda: self._values or self.reason,
                None if timeout_ms is None else timeout_ms / 1000,
            )
            if self._values:
                return self._values.popleft()
        if not arrived:
            raise CallTimeout(f"no notification within {timeout_ms} ms")
        if self.reason == "link":
            raise self.service.connection._ended()
        if self.reason == "service":
            raise ServiceClosed(f"{self.service.name}: its provider is gone")
        raise EOFError

    def __iter__(self) -> Iterator[Any]:
        try:
            while True:
                yield self.get()
        except EOFError:
            return

    def close(self) -> None:
        """Close the resource."""
        self.service.close_handle(self.handle)

    def _add(self, value: Any, lost: int) -> None:
        with self._changed:
            self._lost_there = lost
            if not self.reason:
                self._values.append(value)
                if len(self._values) > _KEPT:
                    self._values.popleft()
                    self._lost_here += 1
        self._tell()

    def _over(self, reason: str, lost: int = 0) -> None:
        with self._changed:
            self._lost_there = max(self._lost_there, lost)
            if self.reason:
                return
            self.reason = reason
        self._tell()

    def _call(
        self, callback: Callable[[Any], object], on_closed: Callable[[str], object] | None
    ) -> None:
        with self._changed:
            self._callback = callback
            self._on_closed = on_closed
        self._tell()

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()
            if self._callback is None or self._called:
                return
            self._called = True
        self.service.connection._deliverer.put(self._deliver)

    def _deliver(self) -> None:
        # In the deliverer's thread: all that is there, then the end.
        while True:
            with self._changed:
                if not self._values and not self.reason:
                    self._called = False
                    return
                over = not self._values
                value: Any = self.reason if over else self._values.popleft()
                function = self._on_closed if over else self._callback
            try:
                if function:
                    function(value)
            except Exception:
                _log.exception("a callback for notifications failed")
            if over:
                return  # _called stays: nothing comes after the end


class Deliverer:
    """A thread that runs callbacks one after the other; begun when it is first needed."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def put(self, function: Callable[[], None]) -> None:
        with self._lock:
            if not self._thread:
                self._thread = threading.Thread(target=self._run, name="kod-call", daemon=True)
                self._thread.start()
        self._queue.put(function)

    def stop(self) -> None:
        """Run what is there, then end."""
        self._queue.put(None)
        with self._lock:
            thread = self._thread
        if thread and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        while function := self._queue.get():
            function()
