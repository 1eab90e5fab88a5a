# Unpacks an app image, a ROMFS file (MicroPython's extmod/vfs_rom.c) that arrives in pieces
# of any size, into a directory, and verifies it. Loaded only while an image arrives.

import json
from binascii import hexlify
from hashlib import sha256

from micropython import const

from kodkod.errors import ImageInvalid

_MAGIC = b"\xd2\xcd\x31"
_VERBATIM = const(2)
_DIRECTORY = const(4)
_FILE = const(5)
_MAX_ENTRIES = const(64)
_MAX_NAME = const(64)
_MAX_DEPTH = const(4)
_MAX_MANIFEST = const(12288)
_FORMAT = const(1)


def _hex(hash):
    return hexlify(hash.digest()).decode()


class Unpacker:
    """Unpacks the image of that id and size into an empty directory."""

    def __init__(self, flash, directory, id, size):
        self._flash = flash
        self._directory = directory
        self._id = id
        self._size = size
        self._hash = sha256()
        self._files = None  # path -> SHA-256 of those still to come, once app.json is here
        self._file = None
        self._chunk = b""
        self._received = 0
        self._at = 0  # where in the image the next field begins
        self._end = size  # where the directory that is being read ends
        self._steps = self._image()
        next(self._steps)

    def feed(self, data):
        """Takes the next bytes of the image; ImageInvalid as soon as they are wrong."""
        self._received += len(data)
        if self._received > self._size:
            self._bad(f"longer than {self._size} bytes")
        self._hash.update(data)
        try:
            self._steps.send(memoryview(data))
        except StopIteration:
            pass
        self._chunk = b""  # lets go of the caller's buffer

    def finish(self):
        """Says that all bytes were given; ImageInvalid unless the image is whole and right."""
        if self._received != self._size:
            self._bad(f"ends at byte {self._received} of {self._size}")
        missing = ["app.json"] if self._files is None else list(self._files)
        if missing:
            self._bad(f"{missing[0]} is missing")
        if _hex(self._hash) != self._id:
            self._bad("its SHA-256 is not its id")

    def close(self):
        """Closes the file that is open, if any."""
        file = self._file
        self._file = None
        if file:
            file.close()

    def _bad(self, what):
        raise ImageInvalid(f"image {self._id[:8]}: {what}")

    # Generators from here on: each yield waits for the next piece.

    def _image(self):
        if (yield from self._take(3)) != _MAGIC:
            self._bad("is no ROMFS image")
        if (yield from self._number()) + self._at != self._size:
            self._bad(f"does not say {self._size} bytes")
        outer = []
        prefix = "/"
        entries = 0
        while True:
            while self._at == self._end:
                if not outer:
                    return
                self._end, prefix = outer.pop()
            kind = yield from self._number()
            end = (yield from self._number()) + self._at
            if kind not in (_DIRECTORY, _FILE) or end > self._end:
                self._bad(f"wrong record before byte {self._at}")
            entries += 1
            if entries > _MAX_ENTRIES:
                self._bad("more than 64 files and directories")
            path = prefix + (yield from self._name())
            if self._files is None and path != "/app.json":
                self._bad("app.json is not its first file")
            if self._flash.exists(self._directory + path):
                self._bad(f"{path[1:]} is in it twice")
            if kind == _DIRECTORY:
                outer.append((self._end, prefix))
                if len(outer) > _MAX_DEPTH:
                    self._bad("directories deeper than 4")
                self._flash.mkdir(self._directory + path)
                self._end = end
                prefix = path + "/"
                continue
            kind = yield from self._number()
            length = yield from self._number()
            if kind != _VERBATIM or self._at + length != end:
                self._bad(f"{path[1:]} has wrong sizes")
            yield from self._content(path, length)

    def _name(self):
        length = yield from self._number()
        if not 0 < length <= _MAX_NAME:
            self._bad(f"a name of {length} characters")
        name = yield from self._take(length)
        for byte in name:
            if not 32 <= byte < 127 or byte in b"/\\":
                self._bad(f"name {name}")
        if name in (b".", b".."):
            self._bad(f"name {name}")
        return name.decode()

    def _content(self, path, length):
        manifest = self._files is None
        if manifest and length > _MAX_MANIFEST:
            self._bad("app.json is too large")
        hash = sha256()
        self._file = self._flash.open(self._directory + path, "wb")
        while length:
            if not self._chunk:
                self._chunk = yield
            piece = self._chunk[:length]
            self._file.write(piece)
            hash.update(piece)
            self._chunk = self._chunk[len(piece) :]
            self._at += len(piece)
            length -= len(piece)
        self.close()
        if manifest:
            self._files = self._manifest(self._directory + path)
        elif self._files.pop(path[1:], None) != _hex(hash):
            self._bad(f"{path[1:]} is not as in app.json")

    def _manifest(self, path):
        try:
            with self._flash.open(path) as file:
                manifest = json.load(file)
            if manifest["format"] == _FORMAT and isinstance(manifest["files"], dict):
                return manifest["files"]
        except (ValueError, KeyError, TypeError):
            pass
        self._bad("app.json is not of format 1")

    def _number(self):
        value = 0
        while True:
            byte = (yield from self._take(1))[0]
            value = value << 7 | byte & 127
            if value > self._size:
                self._bad(f"wrong number before byte {self._at}")
            if byte < 128:
                return value

    def _take(self, length):
        if self._at + length > self._end:
            self._bad(f"a record is cut off at byte {self._at}")
        self._at += length
        data = b""
        while len(data) < length:
            if not self._chunk:
                self._chunk = yield
            missing = length - len(data)
            data += bytes(self._chunk[:missing])
            self._chunk = self._chunk[missing:]
        return data
