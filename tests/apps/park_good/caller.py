# Calls the service of a misbehaving provider, and says what it got.
import asyncio

from kodkod.errors import KodkodError
from kodkod.services import ServiceClient, ServiceSelector


async def main():
    try:
        client = await ServiceClient(ServiceSelector("park/bad", 1, 0)).open(timeout_ms=5000)
        try:
            await client.invoke(1, 2)
        finally:
            client.close()
        await asyncio.sleep_ms(20)
        await client.open()
    except KodkodError as exc:
        print(type(exc).__name__)
