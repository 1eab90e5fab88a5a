# What the storage tests share: images written record by record, a flash chip in RAM whose power
# fails at a chosen write, and a file system whose process dies at a chosen call.

import json
import os
from binascii import hexlify
from hashlib import sha256

import vfs
from kodkod.storage import flash
from kodkod.storage.catalog import Catalog
from kodkod.storage.store import Store

FILE = 5
DIRECTORY = 4
VERBATIM = 2


def digest(data):
    return hexlify(sha256(data).digest()).decode()


# Images


def number(value):
    out = bytes([value & 127])
    while value > 127:
        value >>= 7
        out = bytes([128 | value & 127]) + out
    return out


def record(kind, payload):
    return number(kind) + number(len(payload)) + payload


def file(name, data, kind=VERBATIM):
    name = name if isinstance(name, bytes) else name.encode()
    return record(FILE, number(len(name)) + name + record(kind, data))


def directory(name, body):
    name = name if isinstance(name, bytes) else name.encode()
    return record(DIRECTORY, number(len(name)) + name + body)


def romfs(body):
    size = number(len(body))
    if (3 + len(size) + len(body)) % 2:
        size = b"\x80" + size
    return b"\xd2\xcd\x31" + size + body


def manifest(files, **more):
    app = {"format": 1, "entry": "main", "mpy": [6, 3], "kodkod": "0.1.0"}
    app["files"] = {path: digest(data) for path, data in files.items()}
    app.update(more)
    return json.dumps(app).encode()


def tree(files):
    """Records of {"a.py": bytes, "pkg/b.py": bytes}, nested."""
    body = b""
    inner = {}
    for path in sorted(files):
        if "/" in path:
            name, rest = path.split("/", 1)
            inner.setdefault(name, {})[rest] = files[path]
        else:
            body += file(path, files[path])
    for name in sorted(inner):
        body += directory(name, tree(inner[name]))
    return body


def image(files, **more):
    return romfs(file("app.json", manifest(files, **more)) + tree(files))


def version(n, size=2000):
    """An image of two files and a package; each n is another."""
    line = b"version %d\n" % n
    return image(
        {
            "main.py": line * (size // len(line)),
            "pkg/sub.py": line,
            "pkg/data.bin": bytes(range(250)) * 2 + line,
        }
    )


def upload(store, data, chunk=128, id=None):
    id = digest(data) if id is None else id
    staging = store.begin(id, len(data))
    try:
        for at in range(0, len(data), chunk):
            staging.write(data[at : at + chunk])
        staging.commit()
    finally:
        staging.abort()
    return id


def install(root, name, data, **more):
    """What the supervisor does to install, without a probation."""
    store = Store(root)
    id = digest(data)
    if not store.has(id):
        upload(store, data)
    put(root, name, id, **more)
    sweep(root)
    return id


def put(root, name, id, previous=None, probation=0, settings=None):
    Catalog(root).put(
        name,
        {
            "id": id,
            "previous": previous,
            "probation": probation,
            "settings": settings or {},
            "state": None,
        },
    )


def named(root):
    catalog = Catalog(root)
    ids = set()
    for name in catalog.names():
        known = catalog.get(name)
        ids.update((known["id"], known["previous"]))
    return ids


def sweep(root):
    Store(root).sweep(named(root))


def boot(root):
    Store(root).repair(named(root))


def whole(store, id):
    """Whether each file of an image is there as app.json says, and no other."""
    path = store.path(id)
    files = dict(store.manifest(id)["files"])

    def walk(prefix):
        for name in os.listdir(path + "/" + prefix):
            full = prefix + name
            if os.stat(path + "/" + full)[0] & 0x4000:
                walk(full + "/")
            elif full != "app.json":
                with open(path + "/" + full, "rb") as source:
                    assert files.pop(full) == digest(source.read()), full

    walk("")
    return not files


def clean(root):
    """Asserts that nothing lies about that no record names, and that each named image is whole."""
    store = Store(root)
    ids = named(root) - {None}
    found = set(flash.entries(root + "/apps"))
    assert found == {id[:12] for id in ids}, (found, ids)
    for id in ids:
        assert whole(store, id)
    for name in flash.entries(root + "/catalog"):
        assert name[-2:] in (".0", ".1"), name
    for name in flash.entries(root + "/data"):
        assert name[0] != "~", name


# The flash chip


class Chip:
    """NOR flash as littlefs sees it: erase sets bits, a write clears them. With `left` set, that
    many writes and erases succeed; the next one is done by `part` and then nothing works."""

    def __init__(self, blocks, size=4096):
        self.size = size
        self.base = [b"\xff" * size] * blocks
        self.on()

    def on(self):
        """Power on, with the content of the last keep()."""
        self.blocks = list(self.base)
        self.again()

    def again(self):
        """Power on, with the content as it is."""
        self.left = None
        self.part = 0
        self.dead = False
        self.writes = 0
        self.erases = 0

    def keep(self):
        self.base = [bytes(block) for block in self.blocks]

    # An error is returned, not raised: an exception would jump through littlefs's own functions
    # and leave files open that its caller has closed.

    def _powered(self, length):
        """How much of a write is done."""
        if self.dead:
            return 0
        if self.left is not None:
            if self.left == 0:
                self.dead = True
                return int(length * self.part)
            self.left -= 1
        return length

    def _own(self, n):
        if isinstance(self.blocks[n], bytes):
            self.blocks[n] = bytearray(self.blocks[n])
        return self.blocks[n]

    def readblocks(self, n, buffer, offset=0):
        if self.dead:
            return -5
        buffer[:] = memoryview(self.blocks[n])[offset : offset + len(buffer)]

    def writeblocks(self, n, buffer, offset=0):
        length = self._powered(len(buffer))
        block = self._own(n)
        if block[offset : offset + length].count(b"\xff") == length:
            block[offset : offset + length] = memoryview(buffer)[:length]
        else:
            for i in range(length):
                block[offset + i] &= buffer[i]
        self.writes += 1
        if self.dead:
            return -5

    def ioctl(self, op, n):
        if op == 4:
            return len(self.blocks)
        if op == 5:
            return self.size
        if op == 6:
            length = self._powered(self.size)
            self._own(n)[:length] = b"\xff" * length
            self.erases += 1
            return -5 if self.dead else 0


def mount(chip, path):
    """Mounts it; what no longer mounts is formatted, as MicroPython's boot does."""
    try:
        fs = vfs.VfsLfs2(chip)
    except OSError:
        vfs.VfsLfs2.mkfs(chip)
        fs = vfs.VfsLfs2(chip)
    vfs.mount(fs, path)


# The process that dies, or the file system that refuses


class Killed(BaseException):
    pass


class _File:
    def __init__(self, calls, file):
        self.calls = calls
        self.file = file

    def write(self, data):
        self.calls.call("write")
        return self.file.write(data)

    def close(self):
        self.calls.call("close")
        self.file.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


class Calls:
    """Within `with`: counts the calls of kodkod.storage.flash, and raises at call `at`."""

    NAMES = ("listdir", "mkdir", "remove", "rename", "rmdir", "stat", "statvfs", "open")

    def __init__(self, at=None, error=Killed, only=None):
        self.at = at
        self.error = error
        self.only = only
        self.count = 0
        self.hit = None

    def call(self, name):
        if self.only and name not in self.only:
            return
        if self.count == self.at:
            self.hit = name
            self.count += 1
            raise self.error
        # A dead process does nothing more: not even what its `finally` blocks ask for.
        if self.error is Killed and self.hit:
            raise Killed
        self.count += 1

    def __enter__(self):
        self.saved = {name: getattr(flash, name) for name in self.NAMES}
        for name in self.NAMES:
            setattr(flash, name, self._counted(name, self.saved[name]))
        return self

    def __exit__(self, *error):
        for name in self.NAMES:
            setattr(flash, name, self.saved[name])

    def _counted(self, name, function):
        def counted(path, *args):
            self.call(name)
            result = function(path, *args)
            if name == "open" and args and "w" in args[0]:
                return _File(self, result)
            return result

        return counted


# A folder of the host


def folder():
    path = "/tmp/kodkod-storage-" + hexlify(os.urandom(6)).decode()
    os.mkdir(path)
    return path


def remove(path):
    if os.stat(path)[0] & 0x4000:
        for name in os.listdir(path):
            remove(path + "/" + name)
        os.rmdir(path)
    else:
        os.remove(path)
