# stop after: 60
# ends: stopped
# says: name? no input
import asyncio
import sys

try:
    print(input("name? "))
except EOFError:
    print("no input")
print(sys.stdin.read(), sys.stdin.readline(), sys.stdin.buffer.read(3))
sys.stdout.write("text\n")
for line in sys.stdin:
    print(line)


async def main():
    print(await asyncio.StreamReader(sys.stdin).readline())
    await asyncio.sleep(1000)
