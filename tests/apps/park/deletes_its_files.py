# stop after: 60
# ends: stopped
import asyncio
import os

for n in range(30):
    with open("f%d" % n, "w") as file:
        file.write("x" * n)
files = [open("f%d" % n) for n in range(30)]
for name in os.listdir():
    os.remove(name)
os.chdir("..")
os.rmdir(os.getcwd() + "/bad")


async def main():
    try:
        import later_than_that
    except ImportError:
        pass
    open("again", "w").write("back")
    await asyncio.sleep(1000)
