# stop after: 60
# ends: stopped
import asyncio
import builtins
import os
import sys


def broken(*args):
    raise RuntimeError("patched")


for name in ("print", "open", "len", "isinstance", "__import__", "Exception", "int"):
    setattr(builtins, name, broken)
for module, name in ((os, "stat"), (os, "listdir"), (sys, "exit"), (sys, "print_exception")):
    setattr(module, name, broken)


async def main():
    print("still printing", isinstance(3, int), len("ab"))
    await asyncio.sleep(1000)
