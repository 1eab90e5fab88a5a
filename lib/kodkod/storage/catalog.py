# What is installed: one small record a name, in two generations. Each is written as a new
# file, closed, read back and renamed, so a power cut leaves the record before or after it.
# A file holds MessagePack [version, generation, record] and a CRC-32, little endian.

from binascii import crc32

from micropython import const

from kodkod import errors
from kodkod.borrow import borrow
from kodkod.storage import flash, once
from kodkod.unpack import unpack

_VERSION = const(1)
_MAX = const(4096)
_USUAL = const(512)
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def check_name(name):
    """Refuses what cannot be the name of an installed app."""
    if (
        not 0 < len(name) < 33
        or name[0] not in _LETTERS
        or name.strip(_LETTERS + "0123456789_-")
        or name in ("kod", "kodkod")
    ):
        raise ValueError(f"app name {name!r}: take 1 to 32 of a-z 0-9 _ -, a letter first")


class Catalog:
    """Records of the apps below root; flash is the module that does the calls."""

    def __init__(self, root, flash=flash):
        self.root = root
        self.flash = flash

    def file(self, name, slot):
        """Path of one of the two files of a record."""
        return f"{self.root}/catalog/{name}.{slot}"

    def data(self, name):
        """Directory of an app's own data, there or not."""
        return f"{self.root}/data/{name}"

    def names(self):
        """Names of the apps whose record can be read, sorted."""
        files = self.flash.entries(self.root + "/catalog")
        return sorted(name for name in {file[:-2] for file in files} if self.get(name))

    def problems(self):
        """{name: reason} for records of which a generation cannot be read; get() may still
        know the other one."""
        return once("problems", self)

    def get(self, name):
        """The app's record as a new dict, or None."""
        found = self.generations(name)
        return found[-1][3] if found else None

    def put(self, name, record):
        """Writes an app's record: afterwards it is this one, or after an error the one before."""
        check_name(name)
        found = self.generations(name)
        slot = "1"
        number = 1
        if found:
            if found[-1][3] == record:
                return
            number += max([each[1] for each in found])
            slot = found[0][2]
            if len(found) == 1 and found[0][0]:
                slot = "0" if slot == "1" else "1"
        pack = borrow("kodkod.message").pack
        data = pack([_VERSION, number, record], _MAX, name)
        data += crc32(data).to_bytes(4, "little")
        new = self.file(name, "new")
        flash = self.flash
        try:
            flash.make(self.root + "/catalog")
            with flash.open(new, "wb") as file:
                file.write(data)
            with flash.open(new, "rb") as file:
                if file.read() != data:
                    raise OSError(5)
            flash.rename(new, self.file(name, slot))
        except OSError as error:
            try:
                flash.remove(new)
            except OSError:
                pass  # the repair at the next boot removes it
            raise flash.full(error)

    def remove(self, name, keep_data=True):
        """Forgets an app, and its data unless keep_data; a power cut leaves all or nothing."""
        once("remove_app", self, name, keep_data)

    def generations(self, name):
        """[(readable, number, slot, record or None)], the best last."""
        found = []
        for slot in ("0", "1"):
            number = 0
            record = None
            try:
                with self.flash.open(self.file(name, slot), "rb") as file:
                    data = file.read(_USUAL)  # all that it asks for has to lie in one piece
                    if len(data) == _USUAL:
                        data += file.read(_MAX + 5 - _USUAL)
                if crc32(data[:-4]) == int.from_bytes(data[-4:], "little"):
                    version, number, record = unpack(data[:-4])[:3]
                    if version != _VERSION:
                        record = None
            except OSError as error:
                if error.errno == flash.ENOENT:
                    continue
            except (TypeError, ValueError, errors.KodkodError):
                pass
            found.append((record is not None, number, slot, record))
        found.sort()
        return found
