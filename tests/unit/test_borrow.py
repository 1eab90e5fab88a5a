# What is borrowed is forgotten, but for the services and what they copy with: one for all.
import sys

from kernel_lab import ROOT, remove, write
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
    write(ROOT + "/halfway/__init__.py", "")
    write(ROOT + "/halfway/part.py", "")
    write(ROOT + "/halfway/whole.py", "from halfway import part\nraise MemoryError('the test')\n")
    sys.path.insert(0, ROOT)
    try:
        borrow("halfway.whole")
    except MemoryError:
        pass
    else:
        raise AssertionError("it loads")
    finally:
        sys.path.pop(0)
        remove(ROOT)
    assert not [name for name in sys.modules if name.startswith("halfway")]


def test_services_and_what_they_copy_with_stay_once_for_all():
    def body():
        remote = borrow("kodkod.link.remote")
        assert "kodkod.link.remote" not in sys.modules
        client = sys.modules["kodkod.services.client"]
        assert remote.RemoteClient.__bases__ == (client.Client,)
        assert client.copy is sys.modules["kodkod.message"].copy

    without_services(body)
