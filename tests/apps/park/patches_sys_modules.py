# stop after: 60
# ends: stopped
import asyncio
import sys

sys.modules["kodkod"] = sys.modules["os"] = sys.modules["asyncio"] = 3
sys.modules[5] = None
import good

sys.modules.clear()
sys.path[:] = ["/nowhere", 7]
sys.argv = None
try:
    import nothing
except (ImportError, TypeError):
    pass


async def main():
    import os

    os.getcwd()
    await asyncio.sleep(1000)
