# ends: failed
# says: refused: ValueError
import asyncio

import kodkod


async def child():
    print("x")
    raise ValueError("a child")


def spawn(name):
    try:
        kodkod.spawn(child, name=name)
        return True
    except Exception as exc:
        print("refused:", repr(exc))
        return False


async def main():
    for name in ([1], {}, 5, b"x", "kodkod", "host:1", "x" * 3000, "\ud800"):
        assert not spawn(name), name
    assert spawn("good")
    assert spawn("é")
    await asyncio.sleep_ms(30)
    raise ValueError("and it goes on to its end")
