# The beacon: what is broadcast, what is answered, and to whom.
import asyncio
import socket

from kodkod.link import beacon
from kodkod.message import unpack

SAID = ["kodkod", 1, "desk", "0011223344556677", "esp32", "0.1.0", 9190]
PORT = 19291  # not one that the system gives to others


def sock_at(port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(socket.getaddrinfo("127.0.0.1", port)[0][-1])
    sock.setblocking(False)
    return sock


async def heard(sock, rounds=100):
    for _ in range(rounds):
        await asyncio.sleep_ms(5)
        try:
            return sock.recvfrom(500)[0]
        except OSError:
            pass
    return None


async def announcing(to, at):
    task = asyncio.create_task(beacon.announce(*SAID[2:], to=to, at=at))
    await asyncio.sleep_ms(20)
    return task


async def test_it_broadcasts_at_once():
    sock = sock_at(PORT + 1)
    task = asyncio.create_task(beacon.announce(*SAID[2:], to="127.0.0.1", at=PORT + 1))
    # Both are bound to one port, so this one, bound to one address, gets what is sent there.
    said = await heard(sock)
    task.cancel()
    sock.close()
    assert unpack(said) == SAID


async def test_it_answers_a_question_and_nothing_else():
    asker = sock_at(PORT + 3)
    target = socket.getaddrinfo("127.0.0.1", PORT + 2)[0][-1]
    task = await announcing("127.0.0.1", PORT + 2)
    for words in (b"", b"kodkod", b"kodkod?!", b"x" * 400):
        asker.sendto(words, target)
        assert await heard(asker, 8) is None
    asker.sendto(b"kodkod?", target)
    said = await heard(asker)
    task.cancel()
    asker.close()
    assert unpack(said) == SAID


async def test_no_network_is_no_end():
    task = await announcing("240.0.0.1", PORT + 4)  # cannot be sent to
    asker = sock_at(PORT + 5)
    asker.sendto(b"kodkod?", socket.getaddrinfo("127.0.0.1", PORT + 4)[0][-1])
    said = await heard(asker)
    assert not task.done()
    task.cancel()
    asker.close()
    assert unpack(said) == SAID


async def test_stopped_it_leaves_the_port():
    for _ in range(3):
        task = await announcing("127.0.0.1", PORT + 6)
        task.cancel()
        await asyncio.sleep_ms(10)
    sock_at(PORT + 6).close()
