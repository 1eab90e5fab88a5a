# What is borrowed is forgotten, but for the services and what they copy with: one for all.
import os
import sys

from kodkod.borrow import borrow


def without_services(function):
    """Call `function` as if nobody had used a service; what was loaded is there again after."""
    before = dict(sys.modules)
    for name in before:
        if name[:15] == "kodkod.services" or name == "kodkod.message":
            del sys.modules[name]
    try:
        function()
    finally:
        sys.modules.clear()
        sys.modules.update(before)


def test_what_is_borrowed_is_forgotten_with_all_that_it_loads():
    def body():
        before = set(sys.modules)
        assert borrow("kodkod.storage.catalog").Catalog
        assert "kodkod.storage.catalog" not in sys.modules
        assert "kodkod.message" not in set(sys.modules) - before

    without_services(body)


def test_what_fails_to_load_leaves_nothing_of_what_it_has_loaded_itself():
    folder = "/tmp/kodkod-borrow-{}".format(int.from_bytes(os.urandom(4), "little"))
    files = {
        "__init__": "",
        "part": "",
        "whole": "from halfway import part\nraise MemoryError('says the test')\n",
    }
    os.mkdir(folder)
    os.mkdir(folder + "/halfway")
    for name in files:
        with open(folder + "/halfway/" + name + ".py", "w") as file:
            file.write(files[name])
    sys.path.insert(0, folder)
    try:
        borrow("halfway.whole")
    except MemoryError:
        pass
    else:
        raise AssertionError("it loads")
    finally:
        sys.path.pop(0)
        for name in files:
            os.remove(folder + "/halfway/" + name + ".py")
        os.rmdir(folder + "/halfway")
        os.rmdir(folder)
    assert not [name for name in sys.modules if name.startswith("halfway")]


def test_services_and_what_they_copy_with_stay_once_for_all():
    def body():
        remote = borrow("kodkod.link.remote")
        assert "kodkod.link.remote" not in sys.modules
        client = sys.modules["kodkod.services.client"]
        assert remote.RemoteClient.__bases__ == (client.ServiceClient,)
        assert client.copy is sys.modules["kodkod.message"].copy

    without_services(body)
