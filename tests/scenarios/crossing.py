# Values: what crosses, there and back.

from rig import attempt, opened, say, scenario, show


@scenario
async def values_there_and_back():
    client = await opened()
    for value in (
        None,
        True,
        False,
        0,
        -1,
        127,
        128,
        65536,
        -(1 << 31),
        1 << 40,
        (1 << 63) - 1,
        -(1 << 63),
        (1 << 64) - 1,
        0.5,
        -0.25,
        float("inf"),
        -float("inf"),
        "",
        "text",
        "\u00e4\u20ac\U0001f431",
        b"",
        b"\x00\xff",
        [],
        {},
        [None, True, 1, 0.5, "a", b"b", [1, [2, [3]]]],
        {"a": 1, 2: "b", b"c": None},
        {1: 1, "1": 2, b"1": 3},
        {"deep": {"deeper": [{"deepest": []}]}},
    ):
        say(show(await client.invoke(0, value)))
    say(show(await client.invoke(0, (1, (2, 3)))))
    say(show(await client.invoke(0, [bytearray(b"ab"), memoryview(b"cd")])))
    nan = await client.invoke(0, float("nan"))
    say(nan != nan)
    client.close()


@scenario
async def values_that_stay_here():
    client = await opened()
    deep = []
    for _ in range(20):
        deep = [deep]
    for value in (1 << 64, -(1 << 63) - 1, deep, {True: 1}, {None: 1}, {(1,): 1}, {1, 2}, 1j):
        say(await attempt(client.invoke(0, value)))
    cyclic = []
    cyclic.append(cyclic)
    say(await attempt(client.invoke(0, cyclic)))
    say(await attempt(client.invoke(0, range(3))))
    client.close()
