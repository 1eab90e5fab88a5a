# Runs test functions of one device test file and says on standard output how each one ended.
# Called by tests/conftest.py: run.py MODULE DEEP NAME...; marked lines are its answers.
import sys

import harness

_MARK = "\x1e"


def _say(*words):
    print(_MARK + " ".join(words))


def _traceback(exc):
    if hasattr(sys, "print_exception"):
        sys.print_exception(exc)
        return
    import traceback

    traceback.print_exception(exc, file=sys.stdout)


def _run(function):
    result = function()
    if hasattr(result, "send"):
        import asyncio

        if harness.is_micropython:  # what the last test left waiting must not run in this one
            asyncio.new_event_loop()
        asyncio.run(result)


def _test(module, name):
    _say("start", name)
    end = "passed"
    try:
        _run(getattr(module, name))
    except harness.Skip as exc:
        end = "skipped"
        print(exc)
    except BaseException as exc:  # SystemExit, KeyboardInterrupt: failures of that test alone
        end = "failed"
        _traceback(exc)
    _say("end", end)


def main():
    harness.deep = sys.argv[2] == "1"
    module = __import__(sys.argv[1])
    for name in sys.argv[3:]:
        _test(module, name)


main()
