# Freezes Kodkod into firmware of your own: `make BOARD=ESP32_GENERIC FROZEN_MANIFEST=<this file>`
# in MicroPython's ports/esp32. The library is then found before /lib of the file system is.

import os

include("$(PORT_DIR)/boards/manifest.py")  # noqa: F821 (a manifest is given its functions)

_LIBRARY = "../lib"
_FOR_HOSTS = ("port/unix", "port/run_host", "link/aes_host")  # parts of the simulator and of kod

_files = []
for _folder, _, _names in sorted(os.walk(_LIBRARY + "/kodkod")):
    for _name in sorted(_names):
        _path = os.path.relpath(_folder + "/" + _name, _LIBRARY + "/kodkod").replace(os.sep, "/")
        if _name.endswith(".py") and not _path.startswith(_FOR_HOSTS):
            _files.append(_path)

package("kodkod", files=_files, base_path=_LIBRARY, opt=3)  # noqa: F821
module("boot.py", opt=3)  # noqa: F821
module("main.py", opt=3)  # noqa: F821
