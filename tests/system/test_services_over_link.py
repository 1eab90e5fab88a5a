"""kod.services: what only a client on this computer can see, beyond the scenarios."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from kod import Device
from kod.link import LinkLost
from kod.services import ServiceClient, ServiceResourceProxy, ServiceSelector, connect, using
from kodkod import errors
from simulated_device import EXAMPLES, SimulatedDevice, director
from simulated_device import until as wait_until

SELECTOR = ServiceSelector("0f5e2c84-7f6b-4d1c-9a37-5e0c1c1ab001", 1, 0)
DIRECTOR = ServiceSelector("0f5e2c84-7f6b-4d1c-9a37-5e0c1c1ab002", 1, 0)


class Watcher(ServiceResourceProxy):
    def __init__(self, client: ServiceClient, handle: int) -> None:
        self.got: list[Any] = []
        super().__init__(client, handle)

    def on_notified(self, value: Any) -> None:
        self.got.append(value)

    def on_closed(self, reason: str) -> None:
        self.got.append(reason)


@pytest.fixture
def lab(bench: SimulatedDevice, tmp_path: Path) -> SimulatedDevice:
    """A device with the director of the scenarios."""
    if "director" not in bench.states():
        bench.kod("install", "director", director(tmp_path))
    return bench


def run(lab: SimulatedDevice, main: Callable[[Device], Awaitable[None]]) -> None:
    """Runs `main` with a device in use, on which a lab was started for it."""

    async def all_of_it() -> None:
        async with started(device):
            await main(device)

    with lab.connect() as device, using(device):
        asyncio.run(all_of_it())


class started:
    """A lab in an app of its own."""

    def __init__(self, device: Device) -> None:
        self.client = ServiceClient(DIRECTOR)
        self.device = device

    async def __aenter__(self) -> None:
        await self.client.open(timeout_ms=5000, device=self.device)
        await self.client.invoke("start", ["lab", {}])

    async def __aexit__(self, *exc: object) -> None:
        if self.device.connection.lost is None:
            await self.client.invoke("tidy", [])
        self.client.close()


async def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not become true"
        await asyncio.sleep(0.005)


async def held(client: ServiceClient) -> Watcher:
    return Watcher(client, await client.invoke("hold"))


def test_without_a_device_nothing_opens() -> None:
    with pytest.raises(errors.ClientClosed, match="no device"):
        asyncio.run(ServiceClient(SELECTOR).open())


@pytest.mark.parametrize("reconnect", [False, True])
def test_a_lost_link_ends_calls_and_proxies_once(lab: SimulatedDevice, reconnect: bool) -> None:
    async def main(device: Device) -> None:
        client = await ServiceClient(SELECTOR, reconnect=reconnect).open()
        first, second = await held(client), await held(client)
        call = asyncio.create_task(client.invoke("sleep", [20_000], timeout_ms=None))
        opening = asyncio.create_task(ServiceClient(ServiceSelector("x", 1)).open(20_000))
        await client.invoke("notify", [first, "before"])
        await asyncio.to_thread(lab.cut_power)
        for waiting in (call, opening):
            with pytest.raises(LinkLost):
                await waiting
        await until(lambda: second.is_closed)
        assert (first.got, second.got) == (["before", "link"], ["link"])
        with pytest.raises(LinkLost):
            await client.invoke("echo", [1])
        first.close()
        client.close()
        client.close()
        assert (first.got, second.got) == (["before", "link"], ["link"])
        with pytest.raises(errors.ClientClosed):
            await client.invoke("echo", [1])
        with pytest.raises(LinkLost):
            await client.open()

    try:
        run(lab, main)
    finally:
        lab.start()


def test_a_device_that_restarts_ends_calls_and_proxies_once(lab: SimulatedDevice) -> None:
    async def main(device: Device) -> None:
        client = await ServiceClient(SELECTOR).open()
        watcher = await held(client)
        call = asyncio.create_task(client.invoke("sleep", [20_000], timeout_ms=None))
        await client.invoke("notify", [watcher, "before"])
        with lab.connect() as other:
            await asyncio.to_thread(other.reset)
        # Whether the service or the link is stopped first is not promised.
        with pytest.raises((errors.ServiceClosed, LinkLost)):
            await call
        await until(lambda: watcher.is_closed)
        await until(lambda: device.connection.lost)
        assert watcher.got in (["before", "service"], ["before", "link"])
        watcher.close()
        client.close()
        assert len(watcher.got) == 2

    before = lab.run_json["device_pid"]
    run(lab, main)
    wait_until(lambda: lab.run_json["device_pid"] != before and lab._is_up())


def test_a_connection_that_is_closed_here_is_a_link_that_is_gone(lab: SimulatedDevice) -> None:
    async def main(device: Device) -> None:
        with lab.connect() as other:
            client = await ServiceClient(SELECTOR).open(device=other)
            watcher = await held(client)
            await asyncio.to_thread(other.close)
            await until(lambda: watcher.is_closed)
            assert watcher.got == ["link"]
            with pytest.raises(LinkLost):
                await client.invoke("echo", [1])
        client = await ServiceClient(SELECTOR).open()
        assert await client.invoke("held") == []
        client.close()

    run(lab, main)


def test_a_client_that_is_forgotten_ends_with_its_link(lab: SimulatedDevice) -> None:
    async def forget(device: Device) -> None:
        client = await ServiceClient(SELECTOR).open(device=device)
        await held(client)

    async def main(device: Device) -> None:
        with lab.connect() as other:
            await forget(other)
        client = ServiceClient(DIRECTOR)
        await client.open()
        events = await client.invoke("events", ["lab", ["client closed"]])
        assert events == ["client opened", "resource 1 closed", "client closed"]
        client.close()

    run(lab, main)


def test_a_hundred_proxies_close_at_once_beside_sixteen_calls(lab: SimulatedDevice) -> None:
    async def main(device: Device) -> None:
        client = await ServiceClient(SELECTOR).open()
        watchers = [await held(client) for _ in range(100)]
        calls = [asyncio.create_task(client.invoke("sleep", [300])) for _ in range(16)]
        await asyncio.sleep(0.05)
        for watcher in watchers:
            watcher.close()
        assert all(watcher.got == ["closed"] for watcher in watchers)
        assert await asyncio.gather(*calls) == ["slept"] * 16
        assert await client.invoke("held") == []
        client.close()

    run(lab, main)


def test_a_call_that_waits_here_for_room_is_cancelled_and_never_runs(lab: SimulatedDevice) -> None:
    async def main(device: Device) -> None:
        busy, client = await ServiceClient(SELECTOR).open(), await ServiceClient(SELECTOR).open()
        calls = [asyncio.create_task(busy.invoke("sleep", [20_000])) for _ in range(16)]
        waiting = asyncio.create_task(client.invoke("hold"))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        busy.close()
        assert {type(error) for error in await asyncio.gather(*calls, return_exceptions=True)} == {
            errors.ClientClosed
        }
        assert await client.invoke("held") == []
        client.close()

    run(lab, main)


def test_a_loop_that_was_busy_finds_the_newest_and_the_count_of_the_rest(
    lab: SimulatedDevice,
) -> None:
    async def main(device: Device) -> None:
        client = await ServiceClient(SELECTOR).open()
        watcher = await held(client)
        sending = asyncio.create_task(client.invoke("paced", [watcher, 1000, 1000]))
        await asyncio.sleep(0)
        time.sleep(0.5)  # the link's thread goes on
        assert await sending == 1000
        assert watcher.got[-1] == 999
        assert watcher.got == sorted(watcher.got)
        assert len(watcher.got) + watcher.dropped == 1000
        assert watcher.dropped > 0
        client.close()

    run(lab, main)


def test_what_comes_too_late_for_a_proxy_that_closed_is_dropped_and_counted(
    lab: SimulatedDevice,
) -> None:
    async def main(device: Device) -> None:
        client = await ServiceClient(SELECTOR).open()
        watcher = await held(client)
        sending = asyncio.create_task(client.invoke("burst", [watcher, 0, 10]))
        await asyncio.sleep(0)
        (answer,) = client._waits.values()
        wait_until(answer.done)  # all is here, but this loop has not seen it
        watcher.close()
        assert await sending == 10
        assert (watcher.got, watcher.dropped) == (["closed"], 10)
        client.close()

    run(lab, main)


@pytest.mark.parametrize("what", ["proxy", "client"])
def test_what_the_device_still_kept_for_a_proxy_that_closes_is_dropped_and_counted(
    lab: SimulatedDevice, what: str
) -> None:
    async def main(device: Device) -> None:
        client = await ServiceClient(SELECTOR).open()
        watcher = await held(client)
        device.connection._events = -1000  # this side gives no credit
        sending = asyncio.create_task(client.invoke("burst", [watcher, 0, 116]))
        await until(
            lambda: len(watcher.got) == 16
        )  # the rest waits on the device, or found no room
        (watcher if what == "proxy" else client).close()
        await until(lambda: watcher.dropped == 100)
        assert watcher.got == [*range(52, 68), "closed"]
        (result,) = await asyncio.gather(sending, return_exceptions=True)
        assert result == 116 or (isinstance(result, errors.ClientClosed) and what == "client")
        client.close()

    run(lab, main)


def test_what_is_too_large_for_a_link_is_said(lab: SimulatedDevice) -> None:
    async def main(device: Device) -> None:
        client = await ServiceClient(SELECTOR).open()
        watcher = await held(client)
        with pytest.raises(errors.TooLarge):
            await client.invoke("echo", ["x" * 3000])
        with pytest.raises(errors.TooLarge):
            await client.invoke("big", [3000])
        await client.invoke("notify_big", [watcher, 3000])  # the sender cannot know
        await client.invoke("notify", [watcher, "small"])
        assert (watcher.got, watcher.dropped) == (["small"], 1)
        client.close()

    run(lab, main)


def test_one_chatty_resource_does_not_silence_another(lab: SimulatedDevice) -> None:
    async def main(device: Device) -> None:
        client = await ServiceClient(SELECTOR).open()
        chatty, quiet = await held(client), await held(client)
        await client.invoke("burst_and_one", [chatty, 500, quiet])
        assert quiet.got == ["one"]
        assert len(chatty.got) + chatty.dropped == 500
        client.close()

    run(lab, main)


def test_on_notified_may_wait_for_tasks_that_call_its_own_client(lab: SimulatedDevice) -> None:
    answers = []

    class Calling(Watcher):
        async def on_notified(self, value: Any) -> None:
            answers.append(await asyncio.gather(client.invoke("echo", [value])))

    client = ServiceClient(SELECTOR)

    async def main(device: Device) -> None:
        await client.open()
        proxy = Calling(client, await client.invoke("hold"))
        for value in range(3):
            await client.invoke("notify", [proxy, value])
        await until(lambda: len(answers) == 3)
        client.close()

    began = time.monotonic()
    run(lab, main)
    assert time.monotonic() - began < 10  # the limit of a call


def test_clients_of_two_devices(lab: SimulatedDevice, tmp_path: Path) -> None:
    second = SimulatedDevice(tmp_path, "second")
    second.home = lab.home
    second.start()
    try:

        async def main(device: Device) -> None:
            with second.connect() as other:
                await asyncio.to_thread(other.install, "director", director(tmp_path))
                async with started(other):
                    here = await ServiceClient(SELECTOR).open()
                    with using(other):
                        there = await ServiceClient(SELECTOR).open()
                    one, two = await held(here), await held(there)
                    await here.invoke("notify", [one, "here"])
                    await there.invoke("notify", [two, "there"])
                    assert (one.got, two.got) == (["here"], ["there"])
                    here.close()
                    there.close()

        run(lab, main)
    finally:
        second.stop()
        lab.connect().close()  # the one that `kod` means without -d


SLOW = """
import asyncio
from kodkod import Resource, service

@service("user/slow")
class Slow:
    def hold(self, client):
        return Held(self)

    async def sleep(self, client):
        await asyncio.sleep(20)

class Held(Resource):
    pass
"""
SLEEPER = """
from kodkod import connect, errors
async def main():
    async with connect("user/slow", timeout_ms=5000) as slow:
        held = await slow.hold()
        print("holding")
        for call in (slow.sleep, slow.hold):
            try:
                await call()
            except errors.ServiceClosed as error:
                print("ServiceClosed")
        async for message in held:
            pass
        print("closed", held.is_closed)
"""


def test_an_app_that_is_uninstalled_ends_calls_and_proxies_here_and_in_other_apps(
    lab: SimulatedDevice, tmp_path: Path
) -> None:
    slow, sleeper = tmp_path / "slow.py", tmp_path / "sleeper.py"
    slow.write_text(SLOW)
    sleeper.write_text(SLEEPER)

    async def main() -> None:
        async with connect("user/slow") as remote:
            line = await remote.hold()
            call = asyncio.ensure_future(remote.sleep())
            wait_until(lambda: "holding" in lab.kod("logs", "sleeper").out)
            await asyncio.to_thread(device.uninstall, "slow")
            with pytest.raises(errors.ServiceClosed):
                await call
            assert [message async for message in line] == []
            assert line.is_closed
            with pytest.raises(errors.ServiceClosed):
                await remote.hold()
            with pytest.raises(errors.ServiceNotFound):
                async with connect("user/slow"):
                    pass

    with lab.connect() as device, using(device):
        device.install("slow", slow)
        device.install("sleeper", sleeper)
        asyncio.run(main())
        wait_until(lambda: "closed True" in lab.kod("logs", "sleeper").out)
        assert lab.kod("logs", "sleeper").out.count("ServiceClosed") == 2
        device.uninstall("sleeper")


@pytest.fixture
def tutorial(bench: SimulatedDevice) -> AsyncIterator[None]:
    """The tutorial's own modules, as they are."""
    bench.clean()
    bench.kod("install", "provider", EXAMPLES / "notification" / "provider.py")
    sys.path.insert(0, str(EXAMPLES / "notification"))
    try:
        yield
    finally:
        sys.path.pop(0)
        for name in ("client", "service"):
            sys.modules.pop(name, None)


@pytest.mark.usefixtures("tutorial")
def test_the_tutorials_client_runs_here_unchanged(bench: SimulatedDevice) -> None:
    from client import NotificationServiceClient  # type: ignore[import-not-found]

    async def main() -> None:
        one = await NotificationServiceClient().open()
        two = await NotificationServiceClient().open()
        speaker, listener = await one.connect(), await two.connect()
        await speaker.send("hello from CPython")
        assert await asyncio.wait_for(listener.receive(), 5) == "hello from CPython"
        speaker.close()
        listener.close()
        one.close()
        two.close()

    with bench.connect() as device, using(device):
        asyncio.run(main())


def test_what_the_second_style_does_not_read_has_the_bounds_of_the_client(
    lab: SimulatedDevice,
) -> None:
    async def main() -> None:
        director = ServiceClient(DIRECTOR)
        await director.open(5000)
        await director.invoke("start", ["short", {}])
        async with connect("scenarios/lines") as first, connect("scenarios/lines", queue=3) as two:
            line, other = await first.line(), await two.line()
            for n in range(10):
                await line.say(n)
            await two.line()  # what was sent before its answer is here
            other.close()
            assert [message async for message in other] == [7, 8, 9]
            assert other.dropped == 7
        await director.invoke("tidy", [])
        director.close()

    with lab.connect() as device, using(device):
        asyncio.run(main())


def test_the_second_style_names_the_device_it_connects_to(lab: SimulatedDevice) -> None:
    async def main() -> None:
        director = ServiceClient(DIRECTOR)
        await director.open(5000, device=device)
        await director.invoke("start", ["short", {}])
        async with connect("scenarios/lines", device=device) as lines:
            line, other = await lines.line(), await lines.line()
            assert await line.say("hello") == 1
            async for message in other:
                assert message == "hello"
                break
        await director.invoke("tidy", [])
        director.close()

    with lab.connect() as device:
        asyncio.run(main())
