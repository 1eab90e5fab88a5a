"""The command `kod`: finds the verb, loads its module alone, and turns errors into exit codes."""

from __future__ import annotations

import errno
import sys

# What is wrong with the user's own files and folders, and not with kod.
_OF_THIS_COMPUTER = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


def main(argv: list[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _main(arguments)
    except KeyboardInterrupt:
        from kod.errors import INTERRUPTED

        return INTERRUPTED
    except BrokenPipeError:
        return _reader_gone()
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


def _report(error: Exception, as_json: bool) -> int | None:
    """Says a user's mistake in one line; None when `error` is a bug."""
    from kod import errors
    from kod.cli.output import printable

    code = errors.exit_code(error)
    if code is None and isinstance(error, OSError) and error.errno in _OF_THIS_COMPUTER:
        error = errors.UserError(f"this computer says: {error.strerror} {error.filename or ''}")
        code = error.exit_code
    if code is None:
        return None
    detail = getattr(error, "detail", "") or getattr(error, "traceback", "")
    if detail:
        print(printable(str(detail).rstrip(), sys.stderr), file=sys.stderr)
    text = " ".join(str(error).split()) or type(error).__name__
    print(f"kod: {printable(text, sys.stderr)}", file=sys.stderr)
    if as_json:
        import json

        shown = {"error": text, "code": code, "type": type(error).__name__}
        print(json.dumps(shown | ({"detail": str(detail)} if detail else {}), sort_keys=True))
    return code


def _reader_gone() -> int:
    """Whoever read the output left (`kod logs | head`): no error of anyone's."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
