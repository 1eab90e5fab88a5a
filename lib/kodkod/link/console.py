# The console: frames of kod, mpremote's raw REPL and a person's prompt on one stream of bytes.
# What serves each is loaded when something comes in and let go after; only this stays.

import asyncio
import select
import sys

from micropython import const

from kodkod import link, port
from kodkod.apps import logs
from kodkod.borrow import borrow
from kodkod.signal import Signal

REST_MS = 60000  # without input, until what it needed is let go; tests make it shorter
_LOOK_MS = const(100)
_RESET_MS = const(3000)  # without a line of the log after a soft reset, if nothing comes in


class Console:
    """Serves sys.stdin and sys.stdout. `hello` is what a session tells its host first;
    `limit_ms` bounds one step of typed code (0: nothing does)."""

    def __init__(self, kernel, hello, limit_ms=30000):
        self.kernel = kernel
        self.hello = hello
        self.limit_ms = limit_ms
        self.keys = None  # keys.py, while something comes in now and then
        self.mode = None  # who takes what is typed: Repl, RawRepl, or None at an empty prompt
        self.cable = None  # who takes frames, while there are any
        self.typed = None  # the record and the namespace of typed code
        self.prompt = ""  # what stands there in no mode
        self.tag = 0  # of the last session
        self.again = b""  # bytes to be read once more
        self._shown = 0  # number of the log's last line that was shown, or counted as lost
        self.news = Signal()  # there may be lines to show
        self.quiet = False  # nothing has come in since a soft reset
        self.heard = port.uptime_ms()
        self._in = sys.stdin.buffer
        self._out = sys.stdout.buffer
        self._character = bytearray(1)
        # Typed code may be anywhere, on a file system of mpremote's: nobody else looks there.
        sys.path[:] = [path for path in sys.path if path]
        poller = select.poll()
        poller.register(self._in, select.POLLIN)
        self._poll = poller.ipoll

    # Bytes

    def read(self):
        """A byte that has come, or -1."""
        if self.again:
            byte = self.again[0]
            self.again = self.again[1:]
            return byte
        for _ in self._poll(0):
            if self._in.readinto(self._character):
                return self._character[0]
            raise EOFError
        return -1

    def has_more(self):
        """Whether there is something to be read, or the end."""
        for _ in self._poll(0):
            return True
        return False

    def write(self, data):
        """Write text or bytes as they are."""
        self._out.write(data)

    def say(self, text):
        """Write text whose lines end with LF."""
        self._out.write(text.replace("\n", "\r\n"))

    # Parts

    def load(self, name):
        """A part of the console, by the name of its module; it goes with who holds it."""
        return borrow("kodkod.link." + name)

    def begin(self):
        """The record and the namespace of typed code, made when they are first needed."""
        if not self.typed:
            self.typed = self.load("typed").Typed(self)
        return self.typed

    # Input

    async def serve(self):
        """Serve for as long as there is a console."""
        logs.followers.append(self._line)
        self.kernel.task(self.kernel.system, self._tell())
        while True:
            keys = None  # so that it can be let go meanwhile
            try:
                await link.readable(sys.stdin)
                keys = self.keys = self.keys or self.load("keys")
                job = keys.take(self)
                while job or self.again:
                    if job:
                        await keys.do(self, job)
                    job = keys.take(self)
            except EOFError:
                if self.cable:
                    self.cable.end()
                    self.cable = None
                    self.news.set()
                return
            except KeyboardInterrupt:  # a Ctrl-C a moment too late
                pass
            except Exception as exc:
                self.mode = None
                while not keys and self.read() >= 0:  # no memory for it: what came is lost
                    pass
                self.kernel.log_exception(None, exc, "console")

    # Lines of the log: shown while nobody else uses the line

    def _line(self, line):
        self.news.set()

    async def _tell(self):
        while True:
            await self.news.wait(REST_MS)
            while not self.cable and (not self.mode or self.mode.shows):
                if self.quiet:
                    # mpremote, when it has mounted a folder, waits for silence now, and takes
                    # the first ">" that comes then for the raw REPL's.
                    await self.news.wait(_LOOK_MS)
                    if port.uptime_ms() - self.heard > _RESET_MS:
                        self.quiet = False
                    continue
                line = self._next()
                if not line:
                    break
                await asyncio.sleep_ms(self._show(line))
            if self.keys and port.uptime_ms() - self.heard > REST_MS and not self.cable:
                self.keys.rest(self)

    def _next(self):
        for line in logs.lines:
            if line[0] > self._shown:
                return line

    def _show(self, line):
        # Returns the ms that a line of 115200 baud needs for it.
        text = "[{}] {}\n".format(line[3], line[4])
        lost = line[0] - self._shown - 1
        if lost:
            text = "({} lines lost)\n{}".format(lost, text)
        self._shown = line[0]
        typing = self.typed and self.typed.typing
        if not typing and (self.mode or self.prompt):
            text = "\r\x1b[K" + text
        self.say(text)
        if not typing:
            self.write(self.mode.line() if self.mode else self.prompt)
        return len(text) // 11

    def flush(self):
        """The kernel has ended: show what was not."""
        if not self.cable and (not self.mode or self.mode.shows):
            line = self._next()
            while line:
                self._show(line)
                line = self._next()
