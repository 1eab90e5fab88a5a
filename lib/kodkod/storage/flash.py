# Every call that Kodkod makes to its file system on flash goes through this module,
# so that a test can count them, fail them, and cut the power at each of them.
# ruff: noqa: F401 - most of them are only passed on

from builtins import open
from os import ilistdir, listdir, mkdir, remove, rename, rmdir, stat, statvfs

from kodkod import errors

ENOENT = 2
_FULL = (28, 122)  # ENOSPC, and EDQUOT of a host's file system


def exists(path):
    """Whether there is a file or directory."""
    try:
        return bool(stat(path))
    except OSError as error:
        # Another error must not look like absence: what is named there would be cleaned away.
        if error.errno != ENOENT:
            raise
    return False


def entries(path):
    """Names in a directory; none when there is no such directory."""
    return listdir(path) if exists(path) else []


def make(path):
    """Makes a directory unless it is there."""
    if not exists(path):
        mkdir(path)


def full(error):
    """What to raise for an error: StorageFull when it says that there is no room."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return errors.StorageFull("flash is full; kod uninstall frees some")
    return error
