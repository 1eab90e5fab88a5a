# The prompt for a person: statements of several lines, completion, paste mode. Keys and answers
# are those of MicroPython's own (shared/runtime/pyexec.c, py/repl.c).

import builtins

from micropython import const

from kodkod.link.editor import Editor

_CTRL_A = const(1)
_CTRL_B = const(2)
_CTRL_C = const(3)
_CTRL_D = const(4)
_CTRL_E = const(5)
_TAB = const(9)
_LF = const(10)
_ENTER = const(13)
_ESCAPE = const(27)
_PROMPT = ">>> "
_MORE = "... "
_PASTED = "=== "
_COMPOUND = ("if", "while", "for", "try", "with", "def", "class", "async", "@")


class Repl(Editor):
    """Takes what is typed; `source` is what is to be run once it is complete."""

    shows = True  # lines of the log may appear

    def __init__(self, console):
        super().__init__(console.write)
        self.console = console
        self._lines = []  # those before it, of one statement or paste
        self._prompt = _PROMPT
        self._word = None
        self._last = 0  # byte of a paste
        self.source = ""
        if not console.prompt:
            self._write("\r\n" + _PROMPT)

    @property
    def idle(self):
        """Nothing typed would be lost."""
        return not self._text and not self._lines

    def line(self):
        """The prompt and the line, as they stand there."""
        if self._prompt is _PASTED:
            return _PASTED + self._text
        back = len(self._text) - self._at
        return self._prompt + self._text + ("\x1b[{}D".format(back) if back else "")

    def feed(self, byte):
        """Take a byte; what is to be done with `source`: "single", "exec", "reset", or None."""
        if self._prompt is _PASTED:
            return self._paste(byte)
        if self._keys is not None:
            self._escape(chr(byte))
        elif byte >= 32 and byte != 127:
            self._character(byte)
        elif byte == _ENTER:
            return self._enter()
        elif byte == _CTRL_C:
            self._again("\r\n")
        elif byte == _TAB:
            return self._tab()
        elif byte == 8 or byte == 127:
            if self._at:
                # What was indented is unindented.
                blank = not self._text[: self._at].strip(" ") and self._at % 4 == 0
                self._cut(self._at - (4 if blank else 1), self._at)
        elif byte == _ESCAPE:
            self._keys = ""
        elif self._text or self._lines:
            self._control(byte)
        else:
            return self._command(byte)

    def _command(self, byte):
        # A control character on an empty line.
        console = self.console
        if byte == _CTRL_A:
            console.write("\r\n")
            console.mode = console.load("rawrepl").RawRepl(console)
            return console.mode.feed(byte)
        if byte == _CTRL_B:
            self._write("\r\n" + console.begin().banner())
        elif byte == _CTRL_D:
            self._write("\r\nMPY: soft reboot\r\n")
            return "reset"
        elif byte == _CTRL_E:
            self._prompt = _PASTED
            self._write("\r\npaste mode; Ctrl-C to cancel, Ctrl-D to finish\r\n" + _PASTED)

    # Lines

    def _again(self, before=""):
        self._take()
        self._lines = []
        self._prompt = _PROMPT
        self._write(before + _PROMPT)

    def _enter(self):
        text = self._take()
        self._write("\r\n")
        self._keep(text)
        self._lines.append(text)
        source = "\n".join(self._lines)
        if not source.strip():
            self._again()
        elif _goes_on(source):
            self._prompt = _MORE
            indent = (len(text) - len(text.lstrip(" "))) // 4
            if text.rstrip().endswith(":"):
                indent += 1
            self._text = " " * (4 * indent)
            self._at = len(self._text)
            self._write(_MORE + self._text)
        else:
            self.source = source + "\n"
            return "single"

    def _paste(self, byte):
        if byte == _CTRL_C:
            self._again("\r\n")
        elif byte == _CTRL_D:
            self._write("\r\n")
            self.source = "\n".join(self._lines + [self._text])
            return "exec"
        elif byte == _ENTER or (byte == _LF and self._last != _ENTER):
            self._lines.append(self._take())
            self._write("\r\n" + _PASTED)
        elif byte >= 32 or byte == _TAB:
            self._at = len(self._text)
            self._character(byte)
        self._last = byte

    def done(self, error):
        """The job is done; None: it was a reset."""
        if self._word is not None:
            self._completed()
            if error.endswith("KeyboardInterrupt: \n"):
                self._again("\r\n")
            return
        self.source = ""
        if error is None:
            self._again(self.console.begin().banner()[: -len(_PROMPT)])
        else:
            self.console.say(error)
            self._again()

    # Completion: looking for names may run code of whoever typed it, so it is a step as well

    def _tab(self):
        before = self._text[: self._at]
        if not before.strip():
            self._insert("    ")
            return None
        start = self._at
        while start and (before[start - 1].isalpha() or before[start - 1] in "_.0123456789"):
            start -= 1
        self._word = before[start:]
        self._found = []
        return self._look

    def _look(self):
        *path, start = self._word.split(".")
        names = self.console.typed.names
        if path:
            names = names[path[0]] if path[0] in names else getattr(builtins, path[0])
            for name in path[1:]:
                names = getattr(names, name)
            found = dir(names)
        else:
            found = list(names) + dir(builtins) + ["import "]
        self._found = sorted(
            [n for n in set(found) if n.startswith(start) and (start or n[0] != "_")]
        )

    def _completed(self):
        start = self._word.split(".")[-1]
        self._word = None
        found = self._found
        if not found:
            return
        common = found[0]
        for name in found[1:]:
            while not name.startswith(common):
                common = common[:-1]
        if len(common) > len(start):
            self._insert(common[len(start) :])
        elif len(found) > 1:
            text = ""
            for at, name in enumerate(found):
                text += name + ("\r\n" if at % 4 == 3 else " " * max(1, 18 - len(name)))
            self._write("\r\n" + text.rstrip() + "\r\n" + self.line())


def _goes_on(source):
    # Whether a statement needs more lines: py/repl.c, mp_repl_continue_with_input.
    word = ""
    for char in source:
        if not (char.isalpha() or char in "_@"):
            break
        word += char
    compound = word in _COMPOUND or word[:1] == "@"
    depth = 0
    quote = ""
    at = 0
    while at < len(source):
        char = source[at]
        if quote:
            if char == "\\":
                at += 1
            elif source[at : at + len(quote)] == quote:
                at += len(quote) - 1
                quote = ""
        elif char in "'\"":
            quote = char * 3 if source[at : at + 3] == char * 3 else char
            at += len(quote) - 1
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif char == "#":
            while at + 1 < len(source) and source[at + 1] != "\n":
                at += 1
        at += 1
    if len(quote) == 3 or depth > 0 or source.endswith("\\"):
        return True
    return compound and source.split("\n")[-1].strip() != ""
