# Images that arrive: whole ones in pieces of any size, and every kind of bad one, of which
# nothing may be left.
# heap: 2m
# timeout: 120

import gc
import json
import os
import sys

import harness
from harness import raises
from kodkod.errors import ImageInvalid, StorageFull
from kodkod.storage import flash
from kodkod.storage.store import Store
from storage_parts import (
    DIRECTORY,
    FILE,
    Calls,
    clean,
    digest,
    directory,
    file,
    folder,
    image,
    manifest,
    number,
    put,
    record,
    remove,
    romfs,
    tree,
    upload,
    version,
    whole,
)

BORROWED = ["kodkod.storage." + name for name in ("clean", "image", "staging")]
LINE = b"a line of a file\n"
SMALL = image({"main.py": LINE * 20, "pkg/sub.py": LINE, "pkg/data.bin": bytes(range(60))})


class here:
    """A Store in a new folder."""

    def __init__(self, loaded=False):
        self.loaded = loaded

    def __enter__(self):
        self.root = folder()
        if self.loaded:  # the modules of an upload: to compile them anew takes most of the time
            for name in BORROWED:
                __import__(name)
        return Store(self.root)

    def __exit__(self, *error):
        if self.loaded:
            for name in BORROWED:
                del sys.modules[name]
        remove(self.root)


def refused(store, data, text, chunk=100, id=None):
    busy = len(store.busy)
    with raises(ImageInvalid, text):
        upload(store, data, chunk, id)
    assert flash.entries(store.root + "/apps") == []
    assert len(store.busy) == busy


def with_app(body, files=None, **more):
    """An image that begins as it should and goes on with these records."""
    return romfs(file("app.json", manifest(files or {}, **more)) + body)


def test_an_image_is_unpacked_whatever_the_size_of_the_pieces():
    data = version(1)
    with here() as store:
        for chunk in (1, 2, 3, 7, 64, 1000, len(data)):
            id = upload(store, data, chunk)
            assert store.has(id)
            assert whole(store, id)
            assert store.manifest(id)["entry"] == "main"
            with open(store.path(id) + "/pkg/sub.py", "rb") as source:
                assert source.read() == b"version 1\n"
            size = sum(
                os.stat(store.path(id) + "/" + name)[6]
                for name in ("app.json", "main.py", "pkg/sub.py", "pkg/data.bin")
            )
            assert store.sizes([id, "0" * 64]) == [size, 0]
            store.remove(id)
            assert not store.has(id)
            assert os.listdir(store.root + "/apps") == []


def test_empty_files_and_directories_and_the_largest_allowed_are_unpacked():
    deep = {"a/b/c/d/" + "n" * 64: b"deep", "empty": b""}
    many = {"f%02d" % n: b"x" for n in range(63)}
    with here() as store:
        for files in ({}, deep, many):
            id = upload(store, image(files))
            assert whole(store, id)
        id = upload(store, with_app(directory("empty", b"")))
        assert os.listdir(store.path(id) + "/empty") == []


def test_names_may_hold_spaces_dots_and_dashes():
    files = {"a b.txt": b"1", ".hidden": b"2", "...": b"3", "it's-@#%&.x": b"4"}
    with here() as store:
        assert whole(store, upload(store, image(files)))


def test_an_image_cut_off_at_any_length_is_refused_and_nothing_is_left():
    data = SMALL
    id = digest(data)
    with here(loaded=True) as store:
        for length in range(len(data)):
            with raises(ImageInvalid, id[:8]):
                staging = store.begin(id, len(data))
                staging.write(data[:length])
                staging.commit()
            # The same, and the host lies about the size as well.
            refused(store, data[:length], "image", 400)
        assert whole(store, upload(store, data))
        print(2 * len(data), "images cut off")


def test_an_image_with_any_bit_flipped_is_refused():
    data = SMALL
    id = digest(data)
    start = data.index(LINE * 2)
    body = range(start, data.index(b"pkg", start))
    count = 0
    with here(loaded=True) as store:
        for at in range(len(data)):
            if at in body and at % 16 and not harness.deep:
                continue
            for bit in range(8) if harness.deep else (0, at % 7 + 1):
                bad = bytearray(data)
                bad[at] ^= 1 << bit
                refused(store, bad, id[:8], 512, id)
                count += 1
        print(count, "images with a flipped bit")


def test_an_image_with_a_flipped_bit_and_the_id_to_it_is_refused_or_whole():
    data = SMALL
    passed = 0
    with here(loaded=True) as store:
        for at in range(len(data)):
            bad = bytearray(data)
            bad[at] ^= 1 << at % 8
            try:
                id = upload(store, bytes(bad), 512)
            except ImageInvalid:
                assert flash.entries(store.root + "/apps") == []
                continue
            passed += 1
            assert whole(store, id)
            store.remove(id)
        print(passed, "of", len(data), "were other good images")


def test_an_id_that_is_not_the_hash_is_refused():
    data = version(1)
    with here() as store:
        refused(store, data, "SHA-256 is not its id", id="0" * 64)
        for id in ("", "0" * 63, "0" * 65, "G" * 64, "A" * 64, "../" + "0" * 61, "0" * 63 + "\0"):
            refused(store, data, "64 hex digits", id=id)
            with raises(ImageInvalid):
                store.has(id)
            with raises(ImageInvalid):
                store.remove(id)


def test_what_is_no_romfs_image_is_refused_with_its_first_bytes():
    with here() as store:
        for data in (b"\0" * 64, b"PK\3\4" * 20, b"\xd2\xcd\x30" + b"x" * 60):
            staging = store.begin(digest(data), len(data))
            with raises(ImageInvalid, "is no ROMFS image"):
                staging.write(data[:3])
        assert os.listdir(store.root + "/apps") == []


def test_sizes_that_lie_are_refused():
    app = file("app.json", manifest({"a": b"1234"}))
    good = romfs(app + file("a", b"1234"))
    with here() as store:
        upload(store, good)
        store.remove(digest(good))
        for size in (len(good) - 1, len(good) + 1, 0, -1, 3, 1 << 20):
            with raises(ImageInvalid):
                staging = store.begin(digest(good), size)
                staging.write(good)
            assert not store.busy
        for body, text in (
            (app + record(FILE, b"\x01a" + number(2) + number(5) + b"1234"), "wrong sizes"),
            (app + record(FILE, b"\x01a" + number(2) + number(3) + b"1234"), "wrong sizes"),
            (app + record(FILE, b"\x01a" + number(2) + number(1 << 40) + b"1234"), "wrong number"),
            (app + record(FILE, b"\x01a"), "cut off"),
            (app + number(FILE) + number(99) + b"\x01a" + record(2, b"1234"), "wrong record"),
            (app + number(FILE) + b"\xff" * 40, "wrong number"),
            (app + number(FILE) + b"\x80" * 40, "cut off"),
            (app + directory("d", number(FILE) + number(9) + b"\x01a"), "wrong record"),
            (app + record(DIRECTORY, b"\x09d" + file("a", b"1234")), "name b"),
            (app + record(DIRECTORY, b"\x30d") + file("a", b"1234"), ""),
            (app + record(DIRECTORY, b""), "cut off"),
            (app + number(DIRECTORY), "cut off"),
            (b"", "does not say"),
        ):
            data = romfs(body) if body else b"\xd2\xcd\x31\x00"
            refused(store, data if body else data + b"\0\0", text)
        for zeros in (b"\0", b"\0\0\0"):
            refused(store, good + zeros, "does not say")


def test_records_of_other_kinds_are_refused():
    with here() as store:
        for kind in (0, 1, 2, 3, 6, 127, 300):
            refused(store, with_app(record(kind, b"\x01a\x02\x00")), "wrong")
            if kind != 2:
                refused(store, with_app(file("a", b"\0\0", kind)), "wrong")


def test_names_that_could_lead_elsewhere_are_refused():
    bad = (
        b"..",
        b".",
        b"/etc",
        b"a/b",
        b"a\\b",
        b"a\0",
        b"\0",
        b"\n",
        b"\xff",
        b"\xc3\xa4",
        b"\x7f",
    )
    with here() as store:
        for name in bad:
            for body in (file(name, b"1"), directory(name, file("a", b"1"))):
                refused(store, with_app(body, {"a": b"1"}), "name b")
                refused(store, with_app(directory("d", body), {"a": b"1"}), "name b")
        for name in (b"", b"x" * 65, b"x" * 300):
            for body in (file(name, b"1"), directory(name, b"")):
                refused(store, with_app(body), "a name of %d" % len(name))
        assert not flash.exists(store.root + "/a")


def test_a_name_twice_is_refused():
    one = file("a", b"1")
    with here() as store:
        for body in (
            one + one,
            one + file("a", b"2"),
            directory("a", b"") * 2,
            directory("a", b"") + one,
            one + directory("a", b""),
            file("app.json", manifest({"a": b"1"})) + one,
            directory("d", one + one),
        ):
            refused(store, with_app(body, {"a": b"1", "d/a": b"1"}), "in it twice")


def test_too_many_files_or_levels_are_refused():
    with here() as store:
        many = {"f%02d" % n: b"x" for n in range(64)}
        refused(store, image(many), "more than 64")
        refused(store, with_app(b"".join(directory("d%d" % n, b"") for n in range(64))), "than 64")
        refused(store, image({"a/b/c/d/e/f": b""}), "deeper than 4")


def test_app_json_has_to_be_first_and_of_a_format_that_is_known():
    with here() as store:
        refused(store, romfs(b""), "app.json is missing")
        refused(store, romfs(file("a", b"1")), "app.json is not its first file")
        refused(store, romfs(directory("d", file("app.json", b"{}"))), "is not its first file")
        for data in (b"", b"{", b"[]", b"5", b"{}", b"null", b'"\xff"', b"{[]:1}", b"\0" * 9):
            refused(store, romfs(file("app.json", data)), "app.json is not of format 1")
        for app in ({"format": 2}, {"format": None}, {"format": 1}, {"format": 1, "files": []}):
            data = json.dumps(app).encode()
            refused(store, romfs(file("app.json", data)), "app.json is not of format 1")
        refused(store, with_app(b"", x="y" * 13000), "app.json is too large")


def test_files_have_to_be_as_app_json_says():
    good = {"a": b"1", "d/b": b"2"}
    with here() as store:
        for files, text in (
            ({"a": b"1"}, "d/b is missing"),
            ({"a": b"2", "d/b": b"2"}, "a is not as in app.json"),
            ({"a": b"1", "d/c": b"2"}, "d/c is not as in app.json"),
            ({"a": b"1", "d/b": b"2", "e": b""}, "e is not as in app.json"),
        ):
            refused(store, with_app(tree(files), good), text)


def test_an_upload_that_failed_or_ended_takes_no_more():
    data = version(1)
    with here() as store:
        staging = store.begin(digest(data), len(data))
        with raises(ImageInvalid, "longer than"):
            staging.write(data + b"x")
        for call in (lambda: staging.write(b"x"), staging.commit):
            with raises(ImageInvalid, "has ended"):
                call()
        staging.abort()
        staging = store.begin(digest(data), len(data))
        staging.write(data)
        staging.commit()
        with raises(ImageInvalid, "has ended"):
            staging.commit()
        staging.abort()
        assert whole(store, digest(data))


def test_two_uploads_at_once_do_not_mix_even_of_the_same_image():
    one, two = version(1), version(2)
    with here() as store:
        uploads = [(store.begin(digest(data), len(data)), data) for data in (one, two, one)]
        for at in range(0, len(one), 50):
            for staging, data in uploads:
                staging.write(data[at : at + 50])
        store.sweep(set())
        for staging, _ in uploads:
            staging.commit()
        folders = sorted((digest(one)[:12], digest(two)[:12]))
        assert sorted(os.listdir(store.root + "/apps")) == folders
        assert whole(store, digest(one)) and whole(store, digest(two))


def test_an_aborted_upload_leaves_nothing_and_disturbs_nothing():
    with here() as store:
        put(store.root, "old", upload(store, version(1)))
        data = version(2)
        for length in range(0, len(data), 37):
            staging = store.begin(digest(data), len(data))
            staging.write(data[:length])
            staging.abort()
            staging.abort()
            clean(store.root)


def test_repair_removes_half_images_and_images_nobody_names_but_no_upload_of_now():
    with here() as store:
        kept, orphan = upload(store, version(1)), upload(store, version(2))
        put(store.root, "app", kept)
        store.begin("0" * 64, 500)  # the upload of a process that died
        with open(store.root + "/apps/notes", "wb"):
            pass
        Store(store.root).repair({kept})
        assert sorted(os.listdir(store.root + "/apps")) == [kept[:12], "notes"]
        assert not store.has(orphan)


def test_images_of_a_version_that_used_all_digits_are_found_again():
    with here() as store:
        kept, orphan, both = [upload(store, version(n)) for n in (1, 2, 3)]
        apps = store.root + "/apps/"
        for id in (kept, orphan):
            os.rename(apps + id[:12], apps + id)
        os.mkdir(apps + both)
        put(store.root, "app", kept)
        put(store.root, "other", both)
        Store(store.root).repair({kept, both})
        assert sorted(os.listdir(apps)) == sorted((kept[:12], both[:12]))
        assert whole(store, kept) and whole(store, both)


def test_a_flash_that_is_full_at_any_call_of_an_upload_leaves_nothing_of_it():
    old, new = version(1), version(2)
    calls = ("mkdir", "open", "write", "close", "rename")
    with here() as store:
        put(store.root, "app", upload(store, old))
        at = 0
        while True:
            with Calls(at, OSError(28), calls) as counted:
                try:
                    upload(store, new)
                except StorageFull as error:
                    assert "kod uninstall" in str(error)
                    assert counted.hit
            if not counted.hit:
                break
            clean(store.root)
            assert not store.busy
            at += 1
        assert whole(store, digest(old)) and whole(store, digest(new))
        print(at, "places at which the flash was full")


def test_an_image_larger_than_the_free_flash_is_refused_before_its_first_byte():
    with here() as store:
        with raises(StorageFull, "image of 1125899906842624 bytes"):
            store.begin("0" * 64, 1 << 50)
        assert os.listdir(store.root) == []
        assert not store.busy


def test_other_errors_of_the_flash_pass_through_and_leave_nothing():
    with here() as store:
        put(store.root, "app", upload(store, version(1)))
        for call in ("mkdir", "write", "close", "rename"):
            with Calls(0, OSError(5), (call,)), raises(OSError, "5"):
                upload(store, version(2))
            clean(store.root)
        with Calls(0, MemoryError(), ("write",)), raises(MemoryError):
            upload(store, version(2))
        clean(store.root)


def test_receiving_holds_little_and_is_dropped_afterwards():
    files = {"file%02d.mpy" % n: bytes(2000) for n in range(8)}
    data = image(files)
    id = digest(data)
    view = memoryview(data)
    with here() as store:
        upload(store, data)
        store.remove(id)
        gc.collect()
        before = gc.mem_alloc()
        staging = store.begin(id, len(data))
        gc.collect()
        begun = gc.mem_alloc()
        most = 0
        for at in range(0, len(data), 500):
            staging.write(view[at : at + 500])
            gc.collect()
            most = max(most, gc.mem_alloc() - begun)
        staging.commit()
        del staging
        for name in BORROWED:
            assert name not in sys.modules
        gc.collect()
        after = gc.mem_alloc()
        print("modules and upload", begun - before, "most held", most, "left", after - before)
        # 64-bit objects are twice those of an ESP32; eight files' hashes are part of it.
        assert most < 4096
        assert after - before < 512
