# Values: what crosses, there and back.

from rig import attempt, opened, say, scenario, setting, show, until


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


@scenario
async def sixteen_levels_cross_in_every_direction_and_seventeen_do_not():
    client, held = await setting()
    deep = []
    for _ in range(15):
        deep = [deep]
    say(await client.invoke(0, deep) == deep, await client.invoke("deep", [16]) == deep)
    await client.invoke("notify_deep", [held, 16])
    await until(lambda: held.got)
    say(held.got == [deep])
    for call in (client.invoke(0, [deep]), client.invoke("deep", [17])):
        say(await attempt(call))
    say(await attempt(client.invoke("notify_deep", [held, 17])))
    say(await client.invoke(0, "still here"), len(held.got))
    client.close()
