# A fake of MicroPython's `os` on an ESP32: the names of stock 1.26.1 on the files of this
# computer, and the console slot through which the guard interrupts.

import uos as _os

chdir = _os.chdir
getcwd = _os.getcwd
ilistdir = _os.ilistdir
listdir = _os.listdir
mkdir = _os.mkdir
mount = _os.mount
remove = unlink = _os.remove
rename = _os.rename
rmdir = _os.rmdir
sep = _os.sep
stat = _os.stat
statvfs = _os.statvfs
umount = _os.umount
urandom = _os.urandom
VfsFat = _os.VfsFat
VfsLfs2 = _os.VfsLfs2
_slot = [None]
_raise = [None]  # what makes the interrupt pending; the lane's start sets it
_char = [3]  # of micropython.kbd_intr


def sync():
    pass


def uname():
    name = ("esp32", "esp32", "1.26.1", "v1.26.1", "Generic ESP32 module with ESP32")

    class Name:
        sysname, nodename, release, version, machine = name

    return Name


def dupterm(stream, index=0):
    if index:
        raise ValueError("invalid dupterm index")
    before = _slot[0]
    _slot[0] = stream
    return before


def dupterm_notify(_):
    # Reads what there is; the interrupt character among it raises KeyboardInterrupt.
    stream = _slot[0]
    byte = bytearray(1)
    while stream and stream.readinto(byte):
        if byte[0] == _char[0]:
            _raise[0]()
            return
