# A flash that is full at any block, and hundreds of installs in a row: nothing is lost, nothing
# grows. Writes and calls are counted and printed.
# timeout: 100

import gc
import os

import harness
import vfs
from kodkod.errors import StorageFull
from kodkod.storage.catalog import Catalog
from kodkod.storage.store import Store
from storage_parts import (
    Calls,
    Chip,
    clean,
    digest,
    install,
    mount,
    put,
    remove,
    sweep,
    upload,
    version,
    whole,
)

ROOT = "/flash"
BLOCKS = 64
OLD, NEW, OTHER = version(0), version(1), version(2)


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


class chip:
    """A chip with two apps on it, mounted."""

    def __enter__(self):
        self.chip = Chip(BLOCKS)
        mount(self.chip, ROOT)
        install(ROOT, "clock", OLD)
        install(ROOT, "other", OTHER)
        return self.chip

    def __exit__(self, *error):
        vfs.umount(ROOT)


def fill():
    """Fills the flash to its last block; the number of files of a block each that it took."""
    os.mkdir(ROOT + "/filler")
    count = 0
    while True:
        path = ROOT + "/filler/%d" % count
        try:
            write(path, bytes(4096))
        except OSError as error:
            assert error.errno == 28
            os.remove(path)
            return count
        count += 1


def test_a_flash_that_is_full_at_any_block_of_an_install_keeps_the_old_version():
    full = 0
    installed = 0
    for spare in range(24):
        with chip():
            count = fill()
            for n in range(spare):
                os.remove(ROOT + "/filler/%d" % n)
            before = Store(ROOT).free()
            try:
                upload(Store(ROOT), NEW)
                put(ROOT, "clock", digest(NEW), digest(OLD), 1)
                installed += 1
            except StorageFull as error:
                assert "kod uninstall" in str(error)
                full += 1
                sweep(ROOT)
                assert Store(ROOT).free() >= before
                assert Catalog(ROOT).get("clock")["id"] == digest(OLD)
            clean(ROOT)
            remove(ROOT + "/filler")
            install(ROOT, "clock", NEW)
            clean(ROOT)
    print(full, "sizes of a full flash,", installed, "with room;", count, "blocks filled")
    assert full > 5 and installed > 5


def test_free_bytes_are_those_that_can_be_written():
    with chip():
        os.mkdir(ROOT + "/filler")
        free = Store(ROOT).free() // 4096
        os.rmdir(ROOT + "/filler")
        assert 0 <= free - fill() <= 2, "a directory of many files takes blocks too"
        assert 0 <= Store(ROOT).free() < 8192


def test_installs_in_a_row_use_no_more_flash_and_no_more_heap():
    rounds = 1000 if harness.deep else 60
    with chip() as flash:
        flash.blocks = [bytearray(block) for block in flash.blocks]
        for n in range(rounds):
            id = install(ROOT, "clock", version(10 + n % 90 if n % 2 else 10))
            if n == 10:
                gc.collect()
                heap = gc.mem_alloc()
                free = Store(ROOT).free()
                flash.writes = flash.erases = 0
        gc.collect()
        more = gc.mem_alloc() - heap
        assert Store(ROOT).free() >= free
        assert more < 1024, more
        clean(ROOT)
        assert whole(Store(ROOT), id)
        rounds -= 11
        print(
            "an install: %d writes and %d erases of the chip"
            % (flash.writes // rounds, flash.erases // rounds)
        )
        with Calls() as calls:
            install(ROOT, "clock", OLD)
        print(calls.count, "file system calls; heap", more, "bytes more after", rounds)
