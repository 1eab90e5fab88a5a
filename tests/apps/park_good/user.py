# The well-behaved user: every answer must be right, and no notification may be missing.
import asyncio
from time import ticks_diff, ticks_ms

import good

calls = notified = longest_gap = 0


class Proxy(good.Proxy):
    def on_notified(self, value):
        global notified
        notified += 1
        assert value == notified, (value, notified)


async def main():
    global calls, longest_gap
    client = await good.opened()
    proxy = Proxy(client, await client.invoke(good.SUBSCRIBE))
    last = ticks_ms()
    while True:
        value = [calls, "n" * (calls % 50)]
        assert await client.invoke(good.ECHO, value) == value
        assert proxy.dropped == 0
        calls += 1
        await asyncio.sleep_ms(10)
        now = ticks_ms()
        longest_gap = max(longest_gap, ticks_diff(now, last))
        last = now
