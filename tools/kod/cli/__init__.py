"""The command `kod`: finds the verb, loads its module alone, and turns errors into exit codes."""

from __future__ import annotations

import os
import sys


def main(argv: list[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    _mend_streams()
    try:
        try:
            return _main(arguments)
        finally:
            sys.stdout.flush()  # while somebody can be told that it cannot be written
    except KeyboardInterrupt:
        from kod.errors import INTERRUPTED

        return INTERRUPTED
    except BrokenPipeError:
        _write_nowhere()  # whoever read the output left (`kod logs | head`): no error of anyone's
        return 0
    except Exception as error:
        code = _report(error, "--json" in arguments)
        if code is None:
            raise
        return code


def _main(arguments: list[str]) -> int:
    from kod.cli.parse import overview, run_verb, split

    leading, verb, rest = split(arguments)
    if verb is None:
        return overview(leading)
    if verb == "container":
        verb, rest = _container(rest)
    return run_verb(verb, leading + rest)


def _container(rest: list[str]) -> tuple[str, list[str]]:
    """`kod container install` is `kod install`, as in Jaguar."""
    from kod.errors import BadInput

    if not rest or rest[0] not in ("install", "uninstall", "list"):
        raise BadInput("container is followed by install, uninstall or list")
    return rest[0], rest[1:]


def _mend_streams() -> None:
    """What is closed (`kod list >&-`) is nowhere; a character that the locale lacks is escaped."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            nowhere = open(os.devnull, mode)  # noqa: SIM115
            os.set_inheritable(nowhere.fileno(), True)  # it is so for what kod starts, too
            setattr(sys, name, nowhere)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _report(error: Exception, as_json: bool) -> int | None:
    """Says a user's mistake in one line; None when `error` is a bug."""
    from kod.cli.mistakes import tell

    shown = tell(error)
    if shown is None:
        return None
    try:
        if as_json:
            import json

            print(json.dumps(shown, sort_keys=True))
        sys.stdout.flush()
    except OSError:
        _write_nowhere()
    return int(shown["code"])


def _write_nowhere() -> None:
    """What nobody takes is not tried again at the end of Python."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
