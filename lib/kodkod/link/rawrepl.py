# The raw REPL that mpremote speaks, raw paste included: MicroPython's shared/runtime/pyexec.c.

from micropython import const

_WINDOW = const(128)  # bytes mpremote may send before it is told to go on, twice that at first
_CTRL_A = const(1)
_CTRL_B = const(2)
_CTRL_C = const(3)
_CTRL_D = const(4)
_CTRL_E = const(5)

_BANNER = "raw REPL; CTRL-B to exit\r\n>"


class RawRepl:
    """Takes source up to Ctrl-D and answers with OK, output, 0x04, traceback, 0x04, prompt."""

    shows = False  # a line of the log would be taken for output

    def __init__(self, console):
        self.console = console
        self.source = bytearray()
        self._room = 0  # while pasting: bytes left of the window
        self._began = False

    def feed(self, byte):
        """Take a byte; what is to be done with `source`: "exec", "reset" or None."""
        if self._room:
            return self._paste(byte)
        if byte == _CTRL_A:
            return self._enter()
        if byte == _CTRL_B:
            self.console.mode = None
            self.console.write("\r\n" + self.console.begin().banner())
        elif byte == _CTRL_C:
            self.source = bytearray()
        elif byte == _CTRL_D:
            self.console.write("OK")
            if self.source:
                self.source = bytes(self.source)
                return "exec"
            self.console.write("\r\n")
            return "reset"
        else:
            self.source.append(byte)

    def _enter(self):
        source, self.source = self.source, bytearray()
        if source[:1] == b"\x05" and len(source) == 2:
            if source[1] == 65:
                self._room = _WINDOW
                self.console.write(b"R\x01\x80\x00\x01")
            else:
                self.console.write(b"R\x00")
        elif self._began:  # whoever was here before went away without a word
            return "reset"
        else:
            self._began = True
            self.console.write(_BANNER)

    def _paste(self, byte):
        if byte in (_CTRL_C, _CTRL_D):
            self._room = 0
            self.console.write(b"\x04")
            if byte == _CTRL_D:
                self.source = bytes(self.source)
                return "exec"
            self.done("KeyboardInterrupt: \n")
            return None
        self.source.append(byte)
        self._room -= 1
        if not self._room:
            self._room = _WINDOW
            self.console.write(b"\x01")

    def done(self, error):
        """The job is done; None: it was a reset."""
        self.source = bytearray()
        if error is None:
            self.console.write("MPY: soft reboot\r\n" + _BANNER)
        else:
            self.console.write("\x04")
            self.console.say(error)
            self.console.write("\x04>")
