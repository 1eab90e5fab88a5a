# ends: failed
# says: ?? ?
# says: ?bytes
# says: more ?
# What UTF-8 cannot say, what is long in bytes, and what is no text at all.
import json
import sys


async def main():
    print(json.loads('"\\ud83d\\ude00"'), "\ud800")
    print("\x00\x1b[2J")
    print("漢" * 600, "\U0001f600" * 600)
    sys.stdout.write(b"\xffbytes\n")
    sys.stdout.buffer.write(b"more \xff\n")
    print("no end", end="")
    raise ValueError("\ud800" + "漢" * 3000)
