"""The link in honest use: calls, errors, notifications, several hosts at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future

import pytest
from kod import link
from kod.remote_service import RemoteService
from kodkod.errors import (
    AuthFailed,
    CallTimeout,
    ClientClosed,
    KodkodError,
    NotSerializable,
    RemoteError,
    ResourceClosed,
    ServiceClosed,
    ServiceNotFound,
    TooLarge,
    UnknownMethod,
    VersionMismatch,
)
from link_lab import SERVICE, Device, free_port, service, until


@pytest.fixture(scope="module", params=["kernel", "plain"])
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    device = Device(mode=request.param)
    yield device
    device.stop()


@pytest.fixture
def line(device: Device) -> Iterator[link.Connection]:
    with device.connect() as connection:
        yield connection


@pytest.fixture
def test(line: link.Connection) -> Iterator[RemoteService]:
    with service(line) as opened:
        yield opened


def test_hello_says_who_it_is(line: link.Connection) -> None:
    assert line.hello == {"name": "desk", "id": "0011223344556677", "kodkod": "0.1.0"}
    assert line.lost is None


def test_ping(line: link.Connection) -> None:
    assert 0 < line.ping() < 5000


def test_open_gives_name_and_version(test: RemoteService) -> None:
    assert (test.name, test.version) == ("test/link", (1, 2, 3))


def test_open_by_name(line: link.Connection) -> None:
    with line.open("test/link") as opened:
        assert opened.call("echo", [1]) == 1


def test_open_of_nothing_waits_and_fails(line: link.Connection) -> None:
    with pytest.raises(ServiceNotFound, match="absent"):
        line.open("absent", 1, timeout_ms=50)
    with pytest.raises(VersionMismatch, match=r"1\.2"):
        line.open(SERVICE, 2, timeout_ms=0)


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -1, 2**63 - 1, -(2**63), 2.5, "", "kodkod ☃", b"", b"\0\xff", [], {}, [[[]]]],
)
def test_values_cross(test: RemoteService, value: object) -> None:
    back = test.call("echo", [value])
    assert back == value
    assert type(back) is type(value)


def test_dict_with_all_kinds_of_keys(test: RemoteService) -> None:
    value = {"text": 1, 2: "int", b"bytes": [None, {"deep": b"x"}]}
    assert test.call("echo", [value]) == value


def test_no_arguments(test: RemoteService) -> None:
    assert test.call("none") is None


def test_errors_keep_their_class(test: RemoteService) -> None:
    with pytest.raises(UnknownMethod, match="test/link has no method nothing"):
        test.call("nothing")


def test_other_exceptions_bring_type_message_and_traceback(test: RemoteService) -> None:
    with pytest.raises(RemoteError, match="ValueError: as asked") as caught:
        test.call("fail", ["ValueError"])
    assert caught.value.type == "ValueError"
    assert "do_fail" in caught.value.traceback


def test_what_may_not_cross_is_refused_before_it_is_sent(test: RemoteService) -> None:
    with pytest.raises(NotSerializable):
        test.call("echo", [object()])
    with pytest.raises(TooLarge):
        test.call("echo", [b"x" * 2100])
    assert test.call("echo", [b"x" * 1990]) == b"x" * 1990


def test_reply_that_is_too_large_is_an_error(test: RemoteService) -> None:
    with pytest.raises(TooLarge):
        test.call("big", [3000])
    assert len(test.call("big", [2000])) == 2000


def test_timeout_is_the_devices_own(test: RemoteService) -> None:
    with pytest.raises(CallTimeout, match="test/link"):
        test.call("sleep", [60_000], timeout_ms=30)
    until(lambda: test.call("state")["cancelled"])


def test_cancelled_call_cancels_its_handler(test: RemoteService) -> None:
    before = test.call("state")["cancelled"]
    future = test.submit("sleep", [60_000], timeout_ms=None)
    assert test.call("none") is None
    assert future.cancel()
    until(lambda: test.call("state")["cancelled"] == before + 1)


def test_call_without_limit(test: RemoteService) -> None:
    assert test.call("sleep", [30, "done"], timeout_ms=None) == "done"


def test_slow_call_holds_no_other_up(test: RemoteService) -> None:
    slow = test.submit("sleep", [60_000])
    for i in range(50):
        assert test.call("echo", [i]) == i
    assert not slow.done()
    slow.cancel()


def test_many_calls_in_order(test: RemoteService) -> None:
    calls = (("echo", [i]) for i in range(300))
    assert list(test.call_many(calls)) == list(range(300))


def test_more_calls_than_the_device_takes_wait_here(test: RemoteService) -> None:
    futures = [test.submit("sleep", [1, i]) for i in range(100)]
    assert [future.result() for future in futures] == list(range(100))


def test_many_large_calls_wait_here(test: RemoteService) -> None:
    futures = [test.submit("echo", [bytes([i]) * 1900]) for i in range(60)]
    assert [future.result()[0] for future in futures] == list(range(60))


def test_calls_start_in_the_order_they_were_made(test: RemoteService) -> None:
    """The pieces of an upload rely on it."""
    for _ in range(5):
        for future in [test.submit("number", [i]) for i in range(300)]:
            future.result()
        assert test.call("numbers") == list(range(300))


def test_first_failure_ends_many_calls(test: RemoteService) -> None:
    before = test.call("state")["sink"]
    calls = [("write", [b"x"]), ("fail", []), *[("sleep", [60_000])] * 5]
    with pytest.raises(RemoteError):
        list(test.call_many(iter(calls)))
    assert test.call("state")["sink"] == before + 1


def test_calls_from_many_threads(test: RemoteService) -> None:
    got: list[list[int]] = []

    def work(start: int) -> None:
        got.append([test.call("echo", [i]) for i in range(start, start + 40)])

    threads = [threading.Thread(target=work, args=(start,)) for start in range(0, 400, 40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [list(range(start, start + 40)) for start in range(0, 400, 40)]


# Notifications


def test_notifications_in_order_then_the_end(test: RemoteService) -> None:
    handle = test.call("open")
    stream = test.notifications(handle)
    test.call("notify", [handle, 0, 40, True])
    assert list(stream) == list(range(40))
    assert (stream.reason, stream.lost) == ("resource", 0)


def test_notifications_from_before_anybody_listened_are_kept(test: RemoteService) -> None:
    handle = test.call("open")
    test.call("notify", [handle, 0, 5])
    assert [test.notifications(handle).get(1000) for _ in range(5)] == list(range(5))
    test.close_handle(handle)


def test_notified_before_the_reply_is_there_before_the_result(test: RemoteService) -> None:
    handle = test.call("open")
    stream = test.notifications(handle)
    test.call("notify", [handle, 0, 12])
    assert [stream.get(0) for _ in range(12)] == list(range(12))
    with pytest.raises(CallTimeout):
        stream.get(0)
    stream.close()


def test_burst_beyond_the_devices_queue_is_counted(test: RemoteService) -> None:
    handle = test.call("open")
    stream = test.notifications(handle)
    test.call("notify", [handle, 0, 500, True])
    got = list(stream)
    assert got == sorted(got)
    assert got[-1] == 499
    assert len(got) + stream.lost == 500
    assert len(got) >= 64


def test_what_was_dropped_is_said_before_what_came_after_it(test: RemoteService) -> None:
    # Also when the resource is closed before anything of it was sent.
    handle = test.call("open")
    stream = test.notifications(handle)
    test.call("notify", [handle, 0, 500, True])
    first, *_, last = ((stream.lost, number) for number in stream)
    assert last[1] == 499
    assert first[1] == 0 or first[0] == last[0] > 0


def test_flood_is_bounded_and_counted(test: RemoteService) -> None:
    handle = test.call("open")
    stream = test.notifications(handle)
    test.call("flood", [handle, 2000, 100])
    test.call("shut", [handle])
    got = [number for number, _ in stream]
    assert got == sorted(got)
    assert len(got) + stream.lost == 2000


def test_what_the_device_still_kept_for_a_handle_that_closes_is_counted(
    test: RemoteService,
) -> None:
    handle = test.call("open")
    stream = test.notifications(handle)
    test.connection._events = -1000  # this side gives no credit
    sending = test.submit("notify", [handle, 0, 116])
    assert [stream.get(5000) for _ in range(16)] == list(range(52, 68))
    stream.close()
    assert stream.lost == 100
    assert sending.result(5) is None


def test_flooded_handle_takes_nothing_from_another(test: RemoteService) -> None:
    loud, quiet = test.call("open"), test.call("open")
    heard = test.notifications(quiet)
    test.call("notify", [quiet, 0, 3])
    test.call("notify", [loud, 0, 1000])
    test.call("notify", [quiet, 3, 3, True])
    assert list(heard) == [0, 1, 2, 3, 4, 5]
    test.close_handle(loud)


def test_notification_too_large_for_the_link_is_lost_and_counted(
    test: RemoteService,
) -> None:
    handle = test.call("open")
    stream = test.notifications(handle)
    test.call("flood", [handle, 3, 2050])
    test.call("notify", [handle, 7, 1, True])
    assert list(stream) == [7]
    assert stream.lost == 3


def test_reader_that_never_reads_holds_nobody_up(test: RemoteService) -> None:
    unread = test.call("open")
    test.call("flood", [unread, 3000, 50])
    assert test.call("echo", ["still here"]) == "still here"
    other = test.call("open")
    test.call("notify", [other, 1, 1, True])
    assert list(test.notifications(other)) == [1]
    test.close_handle(unread)


def test_callbacks_may_call(test: RemoteService) -> None:
    handle = test.call("open")
    got: list[int] = []
    closed: Future[str] = Future()
    test.on_notified(
        handle, lambda value: got.append(test.call("echo", [value])), closed.set_result
    )
    test.call("notify", [handle, 0, 30, True])
    assert closed.result(10) == "resource"
    assert got == list(range(30))


def test_failing_callback_is_logged_and_the_next_is_called(
    test: RemoteService, caplog: pytest.LogCaptureFixture
) -> None:
    handle = test.call("open")
    closed: Future[str] = Future()
    seen: list[int] = []

    def callback(value: int) -> None:
        seen.append(value)
        raise LookupError("no such thing")

    test.on_notified(handle, callback, closed.set_result)
    test.call("notify", [handle, 0, 3, True])
    assert closed.result(10) == "resource"
    assert seen == [0, 1, 2]
    assert caplog.text.count("LookupError: no such thing") == 3


def test_closed_handle_closes_the_resource(test: RemoteService) -> None:
    before = test.call("state")
    handle = test.call("open")
    stream = test.notifications(handle)
    stream.close()
    stream.close()
    after = test.call("state")
    assert after["closed"] == before["closed"] + 1
    assert after["resources"] == before["resources"]
    assert (list(stream), stream.reason) == ([], "closed")


# Ends


def test_closed_client_is_gone_on_the_device(device: Device, line: link.Connection) -> None:
    with service(line) as watcher:
        before = watcher.call("state")
        opened = service(line)
        handle = opened.call("open")
        opened.close()
        opened.close()
        after = watcher.call("state")
        assert after["ended"] == before["ended"] + 1
        assert after["clients"] == before["clients"]
        assert after["resources"] == before["resources"]
        with pytest.raises(ClientClosed):
            opened.call("none")
        assert opened.notifications(handle).reason == "closed"


def test_service_that_goes_is_seen_at_once(line: link.Connection) -> None:
    leaving = service(line)
    stream = leaving.notifications(leaving.call("open"))
    closed: Future[str] = Future()
    leaving.on_notified(leaving.call("open"), lambda value: None, closed.set_result)
    waiting = leaving.submit("sleep", [60_000])
    leaving.call("leave")
    with pytest.raises(ServiceClosed):
        waiting.result(10)
    assert closed.result(10) == "service"
    with pytest.raises(ServiceClosed):
        stream.get(10_000)
    with pytest.raises(ServiceClosed):
        leaving.call("none")
    leaving.close()
    with line.open(SERVICE, 1, 2, timeout_ms=5000) as back:  # waits until it is there again
        assert back.call("none") is None


def test_closing_ends_everything(device: Device) -> None:
    with device.connect() as watching, service(watching) as watcher:
        before = watcher.call("state")
        connection = device.connect()
        opened = service(connection)
        stream = opened.notifications(opened.call("open"))
        closed: Future[str] = Future()
        opened.on_notified(opened.call("open"), lambda value: None, closed.set_result)
        waiting = opened.submit("sleep", [60_000])
        opened.call("none")
        connection.close()
        connection.close()
        assert isinstance(waiting.exception(1), link.LinkLost)
        assert closed.result(1) == "link"
        for use in (lambda: opened.call("none"), connection.ping, lambda: stream.get(0)):
            with pytest.raises(link.LinkLost, match="closed"):
                use()
        until(lambda: watcher.call("state")["clients"] == before["clients"])
        after = watcher.call("state")
        assert after["resources"] == before["resources"]
        assert after["cancelled"] == before["cancelled"] + 1


def test_no_thread_is_left(device: Device) -> None:
    before = set(threading.enumerate())
    for _ in range(5):
        with device.connect() as connection, service(connection) as opened:
            handle = opened.call("open")
            opened.on_notified(handle, lambda value: None)
    assert not set(threading.enumerate()) - before


def test_four_links_at_once_and_a_fifth_is_refused(device: Device) -> None:
    lines = [device.connect() for _ in range(4)]
    try:
        for number, line in enumerate(lines):
            assert service(line).call("echo", [number]) == number
        with pytest.raises(KodkodError, match="no free link"):
            device.connect()
        lines.pop().close()
        until(lambda: _connects(device))
        for number, line in enumerate(lines):
            assert line.ping() > 0, number
    finally:
        for line in lines:
            line.close()


def _connects(device: Device) -> bool:
    try:
        device.connect().close()
    except KodkodError:
        return False
    return True


def test_stalled_host_holds_no_other_up(device: Device) -> None:
    """One that asks for a lot and does not read."""
    with device.connect() as stalled, device.connect() as good:
        opened = service(stalled)
        assert stalled._loop
        done = threading.Event()
        stalled._loop.call_soon_threadsafe(done.wait, 20)
        futures = [opened.submit("big", [2000]) for _ in range(200)]
        with service(good) as other:
            began = time.monotonic()
            for i in range(100):
                assert other.call("echo", [i]) == i
            assert time.monotonic() - began < 15
        done.set()
        assert [len(future.result(20)) for future in futures] == [2000] * 200


def test_same_client_number_is_never_used_twice(line: link.Connection) -> None:
    numbers = []
    for _ in range(20):
        with service(line) as opened:
            numbers.append(opened.number)
    assert len(set(numbers)) == 20


def test_more_services_than_a_link_may_open(line: link.Connection) -> None:
    opened = [service(line) for _ in range(16)]
    with pytest.raises(KodkodError, match="too many services"):
        service(line)
    opened.pop().close()
    service(line).close()
    for one in opened:
        one.close()


def test_a_call_is_taken_from_the_link_that_opened_the_client_alone(device: Device) -> None:
    with device.connect() as one, device.connect() as other, service(one) as mine:
        handle = mine.call("open")
        stolen = RemoteService(other, mine.number)
        with pytest.raises(ClientClosed, match="no such client on this link"):
            stolen.call("echo", [1])
        stolen.close_handle(handle)
        stolen.close()
        assert mine.call("echo", [2]) == 2
        assert mine.call("notify", [handle, 0, 1]) is None
        # Nor is a handle of another client's taken for one's own.
        with service(other) as theirs, pytest.raises(ResourceClosed):
            theirs.call("notify", [handle, 0, 1])


def test_wrong_key_and_no_device_are_told_apart(device: Device) -> None:
    with pytest.raises(AuthFailed, match="does not have the key"):
        device.connect(key=bytes(16))
    with pytest.raises(link.LinkLost, match=r"^127\."):
        link.connect_tcp("127.0.0.1", free_port(), bytes(16))


def test_each_link_is_an_app_of_its_own(device: Device) -> None:
    with device.connect() as one, service(one) as watcher:
        if not watcher.call("state")["apps"]:
            pytest.skip("only under the kernel")
        assert watcher.call("state")["apps"] == ["kodkod", "test", "host:local"]
        with device.connect() as other:
            other.ping()
            assert watcher.call("state")["apps"][2:] == ["host:local"] * 2
        until(lambda: len(watcher.call("state")["apps"]) == 3)
