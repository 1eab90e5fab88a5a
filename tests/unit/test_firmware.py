# What the device says of the modules of its firmware, without running any of them.

import os
import sys

import kernel_lab as lab
from kodkod.system import firmware

HERE = "math sys gc json ujson usys asyncio asyncio.core asyncio.stream".split()
NOT_HERE = "nobody unobody u asyncio.nothing math.nothing kodkod kodkod.system x.y.z".split()


def asked(names):
    """What `has` answers inside a kernel."""
    found = []

    async def body(kernel):
        found.extend(firmware.has(names))

    lab.run(body)
    return found


def test_it_tells_what_is_built_in_or_frozen_from_what_is_not():
    assert asked(HERE + NOT_HERE) == HERE


def test_what_lies_on_the_flash_is_neither_run_nor_taken_for_the_firmware_s_even_when_loaded():
    os.mkdir(lab.ROOT)
    with open(lab.ROOT + "/onflash.py", "w") as file:
        file.write("import sys\nsys.modules['ran'] = 1\n")
    sys.path.insert(0, lab.ROOT)
    try:
        assert asked(["onflash"]) == []
        assert "ran" not in sys.modules
        os.mkdir(lab.ROOT)
        with open(lab.ROOT + "/onflash.py", "w") as file:
            file.write("VALUE = 5\n")
        import onflash

        assert asked(["onflash", "gc"]) == ["gc"]
        assert sys.modules["onflash"] is onflash
    finally:
        sys.path.pop(0)
        sys.modules.pop("onflash", None)


def test_no_module_is_loaded_by_it_and_those_loaded_stay_the_same():
    modules, path = dict(sys.modules), list(sys.path)
    # Of the frozen ones, whichever this firmware has.
    asked("mip mip.__main__ upysh webrepl_setup argparse requests ssl asyncio uasyncio".split())
    assert sys.modules == modules
    assert all(sys.modules[name] is modules[name] for name in modules)
    assert sys.path == path
    assert len(bytearray(100)) == 100  # the heap is open again


def test_a_name_that_no_module_can_have_is_an_error_or_no_module():
    assert asked(["..", "../x", "/", "a" * 120]) == []
    for bad in ([""], [5], 5):
        try:
            asked(bad)
            assert False, bad
        except (ValueError, AttributeError, TypeError):
            pass
    assert len(bytearray(100)) == 100


def test_asking_again_and_again_takes_no_memory():
    names = HERE + NOT_HERE

    async def body(kernel):
        used = []
        for _ in range(4):
            for _ in range(20):
                firmware.has(names)
            used.append(await lab.heap(kernel))
        assert used[3] <= used[1], used

    lab.run(body)
