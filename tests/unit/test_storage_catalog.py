# The catalog: records that survive cuts, damage and newer versions, and names that are refused.

import os
from binascii import crc32

from harness import raises
from kodkod import message
from kodkod.errors import StorageFull, TooLarge
from kodkod.storage.catalog import Catalog, check_name
from kodkod.storage.store import Store
from storage_parts import Calls, folder, remove

ID = "ab" * 32
RECORD = {"id": ID, "previous": None, "probation": 0, "settings": {"interval_ms": 5}, "state": "x"}


class here:
    """A Catalog in a new folder."""

    def __enter__(self):
        self.root = folder()
        return Catalog(self.root)

    def __exit__(self, *error):
        remove(self.root)


def changed(**changes):
    new = dict(RECORD)
    new.update(changes)
    return new


def write(catalog, name, slot, data):
    with open(catalog.file(name, slot), "wb") as file:
        file.write(data)


def sealed(value):
    data = message.pack(value)
    return data + crc32(data).to_bytes(4, "little")


def test_an_empty_flash_has_no_apps_and_no_problems():
    with here() as catalog:
        assert catalog.names() == []
        assert catalog.get("clock") is None
        assert catalog.problems() == {}
        assert os.listdir(catalog.root) == []


def test_a_record_is_read_as_it_was_written_by_another_catalog_too():
    with here() as catalog:
        catalog.put("clock", RECORD)
        catalog.put("a-b_c9", changed(previous=ID))
        other = Catalog(catalog.root)
        assert other.names() == ["a-b_c9", "clock"]
        assert other.get("clock") == RECORD
        assert other.get("a-b_c9")["previous"] == ID


def test_what_get_gives_is_the_callers_own():
    with here() as catalog:
        catalog.put("clock", RECORD)
        catalog.get("clock")["settings"]["interval_ms"] = 6
        assert catalog.get("clock") == RECORD


def test_each_put_leaves_the_generation_before_it():
    with here() as catalog:
        for n in range(9):
            catalog.put("clock", changed(state=str(n)))
            assert catalog.get("clock")["state"] == str(n)
        assert [each[3]["state"] for each in catalog.generations("clock")] == ["7", "8"]
        assert sorted(os.listdir(catalog.root + "/catalog")) == ["clock.0", "clock.1"]


def test_putting_the_same_record_writes_nothing():
    with here() as catalog:
        catalog.put("clock", RECORD)
        with Calls() as calls:
            catalog.put("clock", changed())
        assert calls.count == 2  # both slots were looked at
        assert len(catalog.generations("clock")) == 1


def test_a_damaged_newest_record_gives_the_one_before_and_is_reported():
    with here() as catalog:
        catalog.put("clock", changed(state="old"))
        catalog.put("clock", changed(state="new"))
        slot = catalog.generations("clock")[-1][2]
        with open(catalog.file("clock", slot), "rb") as file:
            good = file.read()
        for at in range(len(good)):
            bad = bytearray(good)
            bad[at] ^= 1 << at % 8
            write(catalog, "clock", slot, bad)
            assert catalog.get("clock")["state"] == "old"
            assert catalog.problems() == {"clock": "record is damaged"}
            write(catalog, "clock", slot, good[:at])
            assert catalog.get("clock")["state"] == "old"
        catalog.put("clock", changed(state="next"))
        assert catalog.get("clock")["state"] == "next"
        assert catalog.problems() == {}


def test_garbage_is_reported_and_loses_nothing_that_can_be_read():
    with here() as catalog:
        store = Store(catalog.root)
        catalog.put("good", RECORD)
        os.mkdir(catalog.root + "/apps")
        for id in (ID, "cd" * 32):
            os.mkdir(store.path(id))
        for n, data in enumerate((b"", b"x", b"\xff" * 5000, os.urandom(100), sealed(5))):
            write(catalog, "bad%d" % n, "0", data)
        write(catalog, "worse", "0", sealed([]))
        write(catalog, "worse", "1", sealed({1: 2}))
        os.mkdir(catalog.file("dir", "0"))
        write(catalog, "foreign", "txt", b"")
        with open(catalog.root + "/catalog/x", "wb"):
            pass
        assert catalog.names() == ["good"]
        assert catalog.get("good") == RECORD
        bad = ["bad0", "bad1", "bad2", "bad3", "bad4", "dir", "worse"]
        assert sorted(catalog.problems()) == bad
        store.repair({ID})
        assert sorted(os.listdir(catalog.root + "/apps")) == [ID[:12], "cd" * 6]
        # The user decides: forget some, install others anew.
        for name in bad[:4]:
            catalog.remove(name)
        catalog.remove("dir")
        catalog.put("bad4", RECORD)
        catalog.put("worse", RECORD)
        catalog.put("worse", changed(state="y"))
        assert catalog.names() == ["bad4", "good", "worse"]
        assert catalog.problems() == {}
        store.repair({ID})
        assert os.listdir(catalog.root + "/apps") == [ID[:12]]


def test_a_record_of_a_newer_version_is_reported_and_not_overtaken_by_an_older_one():
    with here() as catalog:
        catalog.put("clock", changed(state="old"))
        newer = sealed([2, 7, {"id": ID}, "more"])
        write(catalog, "clock", "0", newer)
        assert catalog.get("clock")["state"] == "old"
        assert catalog.problems() == {"clock": "record is from a newer version"}
        write(catalog, "clock", "1", sealed([2, 6, {"id": ID}, "more"]))
        assert catalog.get("clock") is None
        assert catalog.names() == []
        catalog.put("clock", changed(state="new"))
        assert catalog.get("clock")["state"] == "new"
        assert max(each[1] for each in catalog.generations("clock")) == 8


def test_remove_takes_both_generations_and_no_older_one_comes_back():
    with here() as catalog:
        for state in ("old", "new"):
            catalog.put("clock", changed(state=state))
        at = 0
        while catalog.get("clock"):
            try:
                with Calls(at, OSError):
                    catalog.remove("clock")
            except OSError:
                pass
            assert catalog.get("clock") in (None, changed(state="new"))
            at += 1
        assert catalog.names() == []
        assert os.listdir(catalog.root + "/catalog") == []


def test_remove_keeps_the_data_unless_told():
    with here() as catalog:
        for keep in (True, False):
            catalog.put("clock", RECORD)
            for path in ("/data", "/data/clock", "/data/clock/deep"):
                if not keep:
                    continue
                os.mkdir(catalog.root + path)
            with open(catalog.data("clock") + "/deep/x", "wb") as file:
                file.write(b"mine")
            catalog.remove("clock", keep)
            assert os.listdir(catalog.root + "/data") == (["clock"] if keep else [])
        catalog.remove("clock")
        catalog.remove("clock", False)


def test_a_removal_that_an_error_ends_leaves_app_and_data_or_neither():
    with here() as catalog:
        for call in ("rename", "remove", "rmdir"):
            for path in ("/data", "/data/clock"):
                if call == "rename" or path == "/data/clock" and not catalog.get("clock"):
                    os.mkdir(catalog.root + path)
            for state in ("old", "new"):
                catalog.put("clock", changed(state=state))
            with Calls(0, OSError(5), (call,)), raises(OSError):
                catalog.remove("clock", False)
            data = os.listdir(catalog.root + "/data")
            if call == "rmdir":
                assert catalog.get("clock") is None
                assert data == ["~clock"]
            else:
                assert catalog.get("clock")["state"] == "new"
                assert data == ["clock"]
        Store(catalog.root).repair(set())
        assert os.listdir(catalog.root + "/data") == []
        with raises(ValueError):
            catalog.remove("../data/clock", False)


def test_data_of_any_depth_is_removed():
    with here() as catalog:
        catalog.put("clock", RECORD)
        path = catalog.root + "/data"
        os.mkdir(path)
        for name in ["/clock"] + ["/deeper"] * 200:
            path += name
            os.mkdir(path)
        catalog.remove("clock", False)
        assert os.listdir(catalog.root + "/data") == []


def test_a_full_flash_leaves_the_record_before():
    with here() as catalog:
        catalog.put("clock", RECORD)
        for call in ("open", "write", "close", "rename"):
            with Calls(0, OSError(28), (call,)) as calls:
                with raises(StorageFull, "kod uninstall"):
                    if call == "open":  # the first one reads
                        calls.at = 2
                    catalog.put("clock", changed(state="new"))
            assert catalog.get("clock") == RECORD
            assert os.listdir(catalog.root + "/catalog") == ["clock.1"]
        remove(catalog.root + "/catalog")
        with Calls(0, OSError(28), ("mkdir",)), raises(StorageFull):
            catalog.put("clock", RECORD)


def test_a_write_that_reads_back_differently_changes_nothing():
    with here() as catalog:
        catalog.put("clock", RECORD)

        class Worn:
            def __getattr__(self, name):
                from kodkod.storage import flash

                return getattr(flash, name)

            def rename(self, *paths):
                raise AssertionError("a record that cannot be read took the place of a good one")

            def open(self, path, mode):
                from kodkod.storage import flash

                if mode == "wb":
                    with open(path, "wb") as file:
                        file.write(b"worn out")
                    return open("/dev/null", "wb")
                return flash.open(path, mode)

        with raises(OSError):
            Catalog(catalog.root, Worn()).put("clock", changed(state="new"))
        assert catalog.get("clock") == RECORD


def test_a_record_is_at_most_4_kb():
    with here() as catalog:
        catalog.put("clock", changed(settings={"args": ["x" * 3800]}))
        with raises(TooLarge, "clock"):
            catalog.put("clock", changed(settings={"args": ["x" * 4096]}))
        assert len(catalog.get("clock")["settings"]["args"][0]) == 3800


def test_names_are_short_words_of_small_letters_and_not_kodkods_own():
    for name in ("a", "clock", "a-b_c9", "x" * 32, "kodx", "host"):
        check_name(name)
    bad = ("", "x" * 33, "9a", "-a", "_a", "Clock", "a b", "a.0", "a/b", "..", "a\0", "host:x")
    for name in bad + ("kod", "kodkod", "ä", "a\n", "~a"):
        with raises(ValueError, "app name"):
            check_name(name)
        with here() as catalog:
            with raises(ValueError):
                catalog.put(name, RECORD)
            assert os.listdir(catalog.root) == []
