# ends: ended 0
import good
from kodkod.errors import NotSerializable


class Odd(str):
    pass


async def main():
    client = await good.opened()
    deep = []
    for _ in range(100):
        deep = [deep]
    for value in (object(), Odd("x"), {1.5: 2}, deep, main, [b"ok", {"a": open}]):
        try:
            await client.invoke(good.ECHO, value)
        except NotSerializable:
            continue
        raise ValueError("it crossed")
