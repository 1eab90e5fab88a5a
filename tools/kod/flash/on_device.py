# Runs on the device, in its raw REPL, when `kod setup` sends it: MicroPython, no imports of kod.
# mypy: ignore-errors
# Each function prints or returns plain values. Paths are absolute.

import binascii
import hashlib
import os
import sys

_FOLDER = 0x4000
_NEW = "/lib.new"
_OLD = "/lib.old"
_LIBRARY = "/lib/kodkod"
_STARTS = ("boot.py", "main.py")


def exists(path):
    try:
        os.stat(path)
    except OSError:
        return False
    return True


def info():
    """Implementation, version, .mpy version, platform, free flash, board, is Kodkod running."""
    room = os.statvfs("/")
    mpy = getattr(sys.implementation, "_mpy", 0)
    return (
        sys.implementation.name,
        tuple(sys.implementation.version[:3]),
        mpy & 0xFF,
        sys.platform,
        room[0] * room[3],
        getattr(sys.implementation, "_machine", ""),
        "kodkod" in sys.modules,
    )


def digest(path):
    """The SHA-256 of a file, in hex; None when there is none."""
    try:
        file = open(path, "rb")  # noqa: SIM115 (closed by the `with` below)
    except OSError:
        return None
    state = hashlib.sha256()
    buffer = bytearray(512)
    with file:
        while True:
            count = file.readinto(buffer)
            if not count:
                break
            state.update(memoryview(buffer)[:count])
    return binascii.hexlify(state.digest()).decode()


def walk(folder, show):
    """Calls show(path) for every file below `folder`."""
    for name, kind, *_ in os.ilistdir(folder):
        path = folder + "/" + name
        if kind == _FOLDER:
            walk(path, show)
        else:
            show(path)


def hashes(folder):
    """Prints path and SHA-256 of every file below `folder`, a line each."""
    if exists(folder):
        walk(folder, lambda path: print(path, digest(path)))


def make_folder(path):
    """Makes `path` and what is above it."""
    at = path.find("/", 1)
    while at > 0:
        if not exists(path[:at]):
            os.mkdir(path[:at])
        at = path.find("/", at + 1)
    if not exists(path):
        os.mkdir(path)


def copy(source, target):
    """Copies a file that the device has already: quicker than to send it."""
    make_folder(target[: target.rindex("/")])
    buffer = bytearray(512)
    with open(source, "rb") as old, open(target, "wb") as new:
        while True:
            count = old.readinto(buffer)
            if not count:
                break
            new.write(memoryview(buffer)[:count])


def remove(path):
    """Removes a file or a whole folder, if it is there."""
    if not exists(path):
        return
    if os.stat(path)[0] & _FOLDER:
        for name, *_ in os.ilistdir(path):
            remove(path + "/" + name)
        os.rmdir(path)
    else:
        os.remove(path)


def mend():
    """Undoes a switch that was cut short, and clears what an earlier setup left."""
    if exists(_OLD + "/kodkod") and not exists(_LIBRARY):
        roll_back()
    remove(_NEW)
    remove(_OLD)


def is_ours(path):
    """Whether a boot.py or main.py is Kodkod's, or not there, or without any code."""
    if not exists(path):
        return True
    others = False
    with open(path) as file:
        for line in file:
            code = line.strip()
            if "kodkod" in code and not code.startswith("#"):
                return True
            others = others or (bool(code) and not code.startswith("#"))
    return not others


def switch():
    """Puts what is staged in /lib.new into its place; what was there goes to /lib.old."""
    make_folder(_OLD)
    make_folder("/lib")
    for name in _STARTS:
        if exists("/" + name):
            copy("/" + name, _OLD + "/" + name)
    if exists(_LIBRARY):
        os.rename(_LIBRARY, _OLD + "/kodkod")
    os.rename(_NEW + "/kodkod", _LIBRARY)
    for name in _STARTS:
        if exists(_NEW + "/" + name):
            os.rename(_NEW + "/" + name, "/" + name)
    remove(_NEW)


def roll_back():
    """Puts what is in /lib.old back into its place."""
    remove(_LIBRARY)
    if exists(_OLD + "/kodkod"):
        os.rename(_OLD + "/kodkod", _LIBRARY)
    for name in _STARTS:
        if exists(_OLD + "/" + name):
            os.rename(_OLD + "/" + name, "/" + name)
        else:
            remove("/" + name)
    remove(_OLD)


def restart():
    """A real restart: the console's soft reset may be served by Kodkod itself."""
    import machine

    if "kodkod" in sys.modules:
        try:  # what somebody asked for is no boot that failed
            from kodkod.apps import boots

            boots.lasted()
        except (ImportError, AttributeError, OSError):  # it is counted as one, then
            pass
    machine.reset()
