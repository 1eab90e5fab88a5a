# The harness itself: what a device test can rely on.
# also: cpython
# heap: 512k
import sys

from harness import is_micropython, raises, skip


def test_plain_function_runs():
    assert 1 + 1 == 2


async def test_async_function_runs():
    import asyncio

    await asyncio.sleep(0)


def test_library_is_on_the_path():
    import kodkod

    assert kodkod.__file__.endswith("lib/kodkod/__init__.py")


def test_raises_keeps_the_exception():
    with raises(ValueError, "no") as caught:
        raise ValueError("no way")
    assert str(caught.value) == "no way"


def test_raises_fails_when_nothing_is_raised():
    with raises(AssertionError):
        with raises(ValueError):
            pass


def test_raises_lets_another_exception_pass():
    with raises(KeyError):
        with raises(ValueError):
            raise KeyError(1)


def test_skip_is_reported():
    if is_micropython:
        skip("only to see a skip")


def test_heap_is_what_the_comment_says():
    if is_micropython:
        import gc

        assert gc.mem_free() + gc.mem_alloc() < 600 * 1024
    assert sys.implementation.name in ("micropython", "cpython")
