"""From a bare board to a device that answers: boards, firmware, file system image, esptool.

`boards` and `firmware` say what is written where, `image` makes the file system, `plan` puts
them together, `esp` runs esptool, `ports` finds serial ports, `wait` hears the device come up.
"""
