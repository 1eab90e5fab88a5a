# The raw REPL that mpremote speaks, raw paste included: MicroPython's shared/runtime/pyexec.c.

from micropython import const

_WINDOW = const(128)  # bytes mpremote may send before it is told to go on, twice that at first
_CTRL_A = const(1)
_CTRL_B = const(2)
_CTRL_C = const(3)
_CTRL_D = const(4)
_CTRL_E = const(5)

_TOO_LONG = "MemoryError: the source is too long\n"
_BANNER = "raw REPL; CTRL-B to exit\r\n>"


class RawRepl:
    """Takes source up to Ctrl-D and answers with OK, output, 0x04, traceback, 0x04, prompt."""

    shows = False  # a line of the log would be taken for output

    def __init__(self, console):
        self.console = console
        self.source = bytearray()
        self._window = None  # while pasting: the last bytes
        self._fill = 0  # how many there are
        self._began = False

    def feed(self, byte):
        """Take a byte; what is to be done with `source`: "exec", "reset" or None."""
        if self._window:
            return self._paste(byte)
        if byte == _CTRL_A:
            return self._enter()
        if byte == _CTRL_B:
            self.console.write("\r\n" + self.console.begin().banner())
            self.console.mode = None
            self.console.news.set()
        elif byte == _CTRL_C:
            self.source = bytearray()
        elif byte == _CTRL_D:
            self.console.write("OK")
            if self.source:
                self.source = bytes(self.source)
                return "exec"
            # At once: mpremote, when it has mounted something, does not wait long for it.
            self.console.write("\r\nMPY: soft reboot\r\n")
            return "reset"
        else:
            self.source.append(byte)

    def _enter(self):
        source, self.source = self.source, bytearray()
        if source[:1] == b"\x05" and len(source) == 2:
            if source[1] == 65:
                self._window = bytearray(_WINDOW)
                self._fill = 0
                self.console.write(b"R\x01\x80\x00\x01")
            else:
                self.console.write(b"R\x00")
        elif self._began:
            # Whoever was here before went away without a word. No word of it to who is here now:
            # a second reset, before the one that mpremote asks for, would be taken for that one.
            return "reset"
        else:
            self._began = True
            self.console.write(_BANNER)

    def _paste(self, byte):
        console = self.console
        if byte in (_CTRL_C, _CTRL_D):
            window, self._window = self._window, None
            if self.source is None:
                self.done(_TOO_LONG)
                return None
            console.write(b"\x04")
            error = "KeyboardInterrupt: \n"
            if byte == _CTRL_D:
                try:
                    self.source += window[: self._fill]
                    self.source = bytes(self.source)
                    return "exec"
                except MemoryError:
                    error = _TOO_LONG
            self.done(error)
            return None
        if self.source is None:
            return None
        self._window[self._fill] = byte
        self._fill += 1
        if self._fill == _WINDOW:
            self._fill = 0
            try:
                self.source += self._window
            except MemoryError:
                self.source = None
                console.write(b"\x04")
                return None
            console.write(b"\x01")

    def done(self, error):
        """The job is done; None: it was a reset."""
        self.source = bytearray()
        if error is None:
            self.console.write(_BANNER)
        else:
            self.console.write("\x04")
            self.console.say(error)
            self.console.write("\x04>")
