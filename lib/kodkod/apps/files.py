# What an app sees as `os`, and its `open`: relative paths lie in its own data folder, which is
# made at its first write. What it opens is entered in its record.

import os as _os

from kodkod.apps import loader, natives

_native_open = loader.open
_ENOENT = 2
_ENOTDIR = 20
_FOLDER = 0x4000
_WRITES = "wax+"


def _made(app):
    # True when the data folder was missing and is there now.
    path = ""
    made = False
    for part in app.data.split("/")[1:]:
        path += "/" + part
        try:
            _os.mkdir(path)
            made = True
        except OSError:
            pass
    return made


def _at(app, path):
    # Where it lies on the device.
    if isinstance(path, str) and path[:1] != "/":
        return (app.cwd or app.data) + "/" + path if path not in ("", ".") else app.cwd or app.data
    return path


def _do(function, makes, path, *args):
    # Once more when all that was missing was the app's folder.
    app = loader.kernel.current
    path = _at(app, path)
    try:
        return function(path, *args)
    except OSError as exc:
        if not makes or exc.errno != _ENOENT or not path.startswith(app.data) or not _made(app):
            raise
    return function(path, *args)


def open_file(path, mode="r", *args, **options):
    """open() as the app that runs."""

    def call(path):
        return _native_open(path, mode, *args, **options)

    makes = isinstance(mode, str) and [c for c in mode if c in _WRITES]
    return natives.own(_do(call, makes, path))


def _reader(function):
    return lambda path: _do(function, False, path)


def _chdir(path):
    app = loader.kernel.current
    parts = []
    for part in _at(app, path).split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    path = "/" + "/".join(parts)
    if path != app.data and not _os.stat(path)[0] & _FOLDER:
        raise OSError(_ENOTDIR)
    app.cwd = path


def _getcwd():
    app = loader.kernel.current
    return app.cwd or app.data


def _rename(old, new):
    _os.rename(_at(loader.kernel.current, old), _at(loader.kernel.current, new))


def os(app, view):
    """For `import os`."""
    if app.data is None:
        return
    view.chdir = _chdir
    view.getcwd = _getcwd
    view.rename = _rename
    view.mkdir = lambda path: _do(_os.mkdir, True, path)
    view.listdir = lambda path=".": _do(_os.listdir, True, path)
    view.ilistdir = lambda path=".": _do(_os.ilistdir, True, path)
    for name in ("remove", "unlink", "rmdir", "stat", "statvfs"):
        if hasattr(_os, name):
            setattr(view, name, _reader(getattr(_os, name)))
    view.dupterm = view.dupterm_notify = _no_console
    vfs(app, view)


class _Mount:
    # What an app has mounted; unmounted when it ends.

    def __init__(self, path):
        self.path = path

    def close(self):
        try:
            _os.umount(self.path)
        except OSError:  # it is by now
            pass


def _mount(device, path, **options):
    _os.mount(device, path, **options)
    loader.kernel.current.own(_Mount(path))


def _umount(path):
    owned = loader.kernel.current.owned
    for one in owned:
        if isinstance(one, _Mount) and one.path == path:
            owned.remove(one)
            one.close()
            return
    raise OSError("umount: {} was not mounted by this app".format(path))


def vfs(app, view):
    """For `import vfs`."""
    view.mount = _mount
    view.umount = _umount


def _no_console(*_):
    raise OSError("dupterm: the console is the kernel's; print() is the app's log")


def io(app, view):
    """For `import io`."""
    view.open = open_file


def builtins(app, view):
    """For `import builtins`: nothing but what it sets is its own."""
