# A new library for the device itself, over a link. It arrives in /lib.new, beside the one that
# runs, and has one start to prove itself: unless a host reaches the device then and says so, the
# next start is with the library before. firmware/main.py goes by the marks "trial" and "good".

import asyncio
import sys
from binascii import hexlify
from hashlib import sha256

from micropython import const

from kodkod import port
from kodkod.apps import logs
from kodkod.borrow import borrow
from kodkod.errors import Busy, ImageInvalid
from kodkod.services import ServiceResource
from kodkod.storage import flash, once

TRIAL_S = 120  # for a host to come; tests make it shorter
_BLOCK = const(512)
_ROOT = port.ROOT
_NEW = _ROOT + "/lib.new"
_LIBRARY = _ROOT + "/lib/kodkod"
_STARTS = ("boot.py", "main.py")


def _in_place(path):
    # Where a file of the library lies, by its path in /lib.new.
    return _ROOT + ("/" if path in _STARTS else "/lib/") + path


def _pieces(path):
    # The content of a file, in a buffer that is used again.
    buffer = bytearray(_BLOCK)
    with flash.open(path, "rb") as file:
        count = file.readinto(buffer)
        while count:
            yield memoryview(buffer)[:count]
            count = file.readinto(buffer)


def _digest(path):
    state = sha256()
    for piece in _pieces(path):
        state.update(piece)
    return hexlify(state.digest()).decode()


def _clear():
    if flash.exists(_NEW):
        once("remove_tree", flash, _NEW)


class Renewal(ServiceResource):
    """A library that arrives, file by file. Closed before `commit`, nothing of it is left."""

    def __init__(self, provider, client):
        if _NEW in sys.path:
            raise Busy("the library that came last is on trial: try again in two minutes")
        if not flash.exists(_LIBRARY):
            raise ImageInvalid("the library is in the firmware, not on the flash: kod flash")
        super().__init__(provider, client)
        self._file = None
        self._arriving = None  # path and SHA-256 of the file that is open
        self._files = 0
        self._committed = False

    def has(self, path, digest):
        """Whether the library that runs has this very file."""
        path = _in_place(path)
        return flash.exists(path) and _digest(path) == digest

    def begin(self, path, digest, is_here=False):
        """The next file: copied if it `is_here`, as `has` said; else its bytes are to follow."""
        if not self._files:
            _clear()
            flash.mkdir(_NEW)
        self._end()
        if ".." in path or not (path in _STARTS or path.startswith("kodkod/")):
            raise ImageInvalid("{} is no file of the library".format(path))
        at = path.find("/")
        while at > 0:
            flash.make(_NEW + "/" + path[:at])
            at = path.find("/", at + 1)
        self._files += 1
        self._arriving = path, digest
        self._file = self._do(flash.open, _NEW + "/" + path, "wb")
        if is_here:
            for piece in _pieces(_in_place(path)):
                self.write(piece)

    def write(self, data):
        """The next bytes of the file."""
        self._do(self._file.write, data)

    def commit(self, files):
        """So many files are there, and right: the next start is with them."""
        self._end()
        if self._files != files:
            raise ImageInvalid("{} of {} files have come".format(self._files, files))
        self._do(flash.open, _NEW + "/trial", "wb").close()
        self._committed = True

    def _end(self):
        # The file that was open is whole, or the renewal has failed.
        if self._file:
            self._do(self._file.close)
            self._file = None
            path, digest = self._arriving
            if _digest(_NEW + "/" + path) != digest:
                raise ImageInvalid("{} arrived damaged: try again".format(path))

    def _do(self, step, *args):
        try:
            return step(*args)
        except OSError as error:
            raise flash.full(error)

    def on_closed(self):
        if self._committed:
            return
        try:
            if self._file:
                self._file.close()
            _clear()
        except OSError:
            pass  # the next boot does it


def confirm():
    """A host has come: the library that is on trial stays. False when none is."""
    if _NEW not in sys.path:
        return False
    flash.rename(_NEW + "/tried", _NEW + "/good")
    _settle()
    return True


def _settle():
    # Whenever the power fails in here, the next start finds a whole library, and ends this.
    for name in _STARTS:
        if flash.exists(_NEW + "/" + name):
            flash.rename(_NEW + "/" + name, _in_place(name))
    if flash.exists(_NEW + "/kodkod"):
        if flash.exists(_LIBRARY):
            flash.rename(_LIBRARY, _NEW + "/before")
        flash.rename(_NEW + "/kodkod", _LIBRARY)
    if _NEW in sys.path:
        sys.path.remove(_NEW)
        for module in sys.modules.values():  # packages look there for what they have not loaded
            path = getattr(module, "__path__", "")
            if path.startswith(_NEW):
                module.__path__ = _in_place(path[len(_NEW) + 1 :])
    _clear()


async def after_boot(kernel):
    """What a start does with what it finds in /lib.new."""
    marks = flash.entries(_NEW)
    if "good" in marks:
        _settle()
    elif _NEW not in sys.path:
        if "tried" in marks:
            text = "the new library did not prove itself: the one before runs again"
            logs.write(kernel.system, logs.ERROR, text)
        _clear()
    else:
        await _trial(kernel)


async def _trial(kernel):
    text = "a new library is on trial: kod has {} s to find the device well"
    logs.write(kernel.system, logs.WARNING, text.format(TRIAL_S))
    for _ in range(TRIAL_S):
        await asyncio.sleep(1)
        if _NEW not in sys.path:
            return
    logs.write(kernel.system, logs.ERROR, "no kod has come: back to the library before")
    await kernel.stop_all()
    borrow("kodkod.apps.boots").lasted()  # what is meant is no failed boot
    port.reset()
