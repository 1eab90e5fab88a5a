# What lets hosts in over TCP: loaded when one knocks, let go once nobody has come for a while.
import asyncio

from kodkod.link import tcp

KEY = bytes(16)
native = tcp.borrow
loaded = []
hungry = False


def counted(name):
    if hungry:
        raise MemoryError("not a byte is left, says the test")
    module = native(name)
    module.REST_S = 0.05
    loaded.append(name)
    return module


tcp.borrow = counted


async def knock(port):
    """A stranger who is no host; True once he was sent away."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"x" * 32)
    await writer.drain()
    answer = await reader.read(1)
    writer.close()
    return answer == b""


async def serving(port):
    loaded.clear()
    task = asyncio.create_task(tcp.serve(port, KEY, {}, None, "127.0.0.1"))
    await asyncio.sleep_ms(0)  # then it listens
    return task


async def test_it_is_loaded_at_a_knock_and_stays_while_somebody_is_there():
    task = await serving(19211)
    reader, writer = await asyncio.open_connection("127.0.0.1", 19211)  # and says nothing
    while not loaded:
        await asyncio.sleep_ms(5)
    for _ in range(3):
        await asyncio.sleep_ms(120)
        assert await knock(19211)
    assert loaded == ["kodkod.link.door"]
    writer.close()
    task.cancel()


async def test_it_is_let_go_once_nobody_has_come_for_a_while():
    task = await serving(19212)
    assert await knock(19212)
    while len(loaded) == 1:
        await asyncio.sleep_ms(200)
        assert await knock(19212)
    assert loaded == 2 * ["kodkod.link.door"]
    task.cancel()


async def test_without_memory_for_it_who_knocks_is_sent_away_and_may_come_again():
    global hungry
    task = await serving(19213)
    hungry = True
    assert await knock(19213)
    assert loaded == []
    hungry = False
    assert await knock(19213)
    assert loaded == ["kodkod.link.door"]
    task.cancel()
