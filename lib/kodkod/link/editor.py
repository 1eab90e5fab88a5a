# A line that is edited, with a history: what its keys do is what they do at MicroPython's own
# prompt (shared/readline).

from micropython import const

_CTRL_A = const(1)
_CTRL_B = const(2)
_CTRL_D = const(4)
_CTRL_E = const(5)
_CTRL_F = const(6)
_CTRL_K = const(11)
_CTRL_N = const(14)
_CTRL_P = const(16)
_CTRL_U = const(21)
_HISTORY = const(8)
_KEYS = {"A": "_older", "B": "_newer", "C": "_right", "D": "_left", "H": "_home", "F": "_end"}
_KEYS.update({"1~": "_home", "7~": "_home", "4~": "_end", "8~": "_end", "3~": "_delete"})


class Editor:
    """Keeps what is typed until it is taken, and shows it by `write`."""

    def __init__(self, write):
        self._write = write
        self._text = ""  # the line
        self._at = 0  # where the cursor is in it
        self._keys = None  # of an escape sequence
        self._part = b""  # of a character of several bytes
        self._history = []
        self._back = 0  # how far back in it

    def _control(self, byte):
        end = len(self._text)
        if byte == _CTRL_A:
            self._move(0)
        elif byte == _CTRL_E:
            self._move(end)
        elif byte == _CTRL_B:
            self._left()
        elif byte == _CTRL_F:
            self._right()
        elif byte == _CTRL_D:
            self._delete()
        elif byte == _CTRL_K:
            self._cut(self._at, end)
        elif byte == _CTRL_U:
            self._cut(0, self._at)
        elif byte == _CTRL_N:
            self._newer()
        elif byte == _CTRL_P:
            self._older()

    def _character(self, byte):
        if byte > 127:
            self._part += bytes((byte,))
            try:
                text = str(self._part, "utf-8")
            except UnicodeError:
                if len(self._part) > 3:
                    self._part = b""
                return
            self._part = b""
        else:
            text = chr(byte)
        self._insert(text)

    def _take(self):
        # The line, which is a new one then.
        text = self._text
        self._text = ""
        self._at = self._back = 0
        return text

    def _keep(self, text):
        # Put a line into the history.
        if text.strip() and text not in self._history[-1:]:
            self._history = (self._history + [text])[-_HISTORY:]

    def _insert(self, text):
        rest = self._text[self._at :]
        self._text = self._text[: self._at] + text + rest
        self._at += len(text)
        self._write(text + rest + "\b" * len(rest))

    def _cut(self, start, end):
        if start >= end:
            return
        rest = self._text[end:]
        self._write("\b" * (self._at - start) + rest + "\x1b[K" + "\b" * len(rest))
        self._text = self._text[:start] + rest
        self._at = start

    def _move(self, at):
        if 0 <= at <= len(self._text):
            self._write("\b" * (self._at - at) + self._text[self._at : at])
            self._at = at

    def _left(self):
        self._move(self._at - 1)

    def _right(self):
        self._move(self._at + 1)

    def _home(self):
        self._move(0)

    def _end(self):
        self._move(len(self._text))

    def _delete(self):
        if self._at < len(self._text):
            self._move(self._at + 1)
            self._cut(self._at - 1, self._at)

    def _older(self):
        self._recall(self._back + 1)

    def _newer(self):
        self._recall(self._back - 1)

    def _recall(self, back):
        if 0 <= back <= len(self._history):
            self._back = back
            self._end()
            self._cut(0, self._at)
            if back:
                self._insert(self._history[-back])

    def _escape(self, char):
        keys = self._keys + char
        if char in "[O" if len(keys) == 1 else len(keys) < 4 and char.isdigit():
            self._keys = keys
            return
        self._keys = None
        action = _KEYS.get(keys[1:])
        if action:
            getattr(self, action)()
