# The main.py of a simulated device that counts its file system calls and kills itself (SIGKILL)
# at the one that KODKOD_KILL_AT names; a write is then done by half.
import os
import sys

from kodkod.storage import flash
from kodkod import system

NAMES = ("listdir", "ilistdir", "mkdir", "remove", "rename", "rmdir", "stat", "statvfs", "open")
AT = int(os.getenv("KODKOD_KILL_AT"))
count = 0


def is_last():
    global count
    count += 1
    if AT < 0:
        with open("/calls", "w") as file:
            file.write(str(count))
    return count == AT


def kill():
    os.system("kill -9 $PPID")


class File:
    def __init__(self, file):
        self.file = file

    def write(self, data):
        if is_last():
            self.file.write(data[: len(data) // 2])
            kill()
        return self.file.write(data)

    def close(self):
        if is_last():
            kill()
        self.file.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


def counted(name, function):
    def call(path, *args):
        if is_last():
            kill()
        result = function(path, *args)
        return File(result) if name == "open" and args and "w" in args[0] else result

    return call


for name in NAMES:
    setattr(flash, name, counted(name, getattr(flash, name)))
sys.exit(system.main())
