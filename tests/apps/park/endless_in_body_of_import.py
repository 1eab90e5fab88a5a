# ends: runaway
import asyncio


async def main():
    import endless
