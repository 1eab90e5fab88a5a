# Code that is typed: it runs as one step of a record of its own, in a namespace of its own.
# asyncio.run in it drives the kernel's loop from inside that step.

import asyncio
import builtins
import gc
import io
import os
import sys
from time import ticks_diff, ticks_us

from micropython import const

from kodkod import port
from kodkod.apps import logs
from kodkod.link.views import Views
from kodkod.signal import Signal

_input = builtins.input

_DONE = "done"
_LOOK_MS = const(20)  # between looks for a Ctrl-C during asyncio.run
_BUSY_MS = const(200)  # of a step in it, then the guard looks
_LOOKS = const(100)  # that what was interrupted so has for its end

# Modules that are the same for all; what else typed code imports is its own, until the reset.
_SHARED = (
    " kodkod asyncio sys micropython machine os io struct time gc select socket network vfs esp"
    " esp32 json hashlib binascii random math errno re collections array neopixel "
)


class _Names:
    def __contains__(self, name):
        return " {} ".format(name) not in _SHARED


async def _keep():
    # An app lives as long as it has a task.
    await Signal().wait()


class Typed:
    """The record "console", renewed when it has ended, and what was typed there."""

    def __init__(self, console):
        self.console = console
        self.kernel = console.kernel
        self._forget()
        self.typing = False  # a step is under way
        self.error = None  # what it raised
        self.left = False  # the host that it reads from is gone
        self._late = False  # the guard ended it
        self._app = None
        self._outcome = None  # of asyncio.run, while it goes on
        self._interrupted = False
        self._ahead = b""  # what came after the Ctrl-C
        self.raw = False  # to what runs a Ctrl-C is a byte
        self.reading = False  # it waits for what is typed

    def _forget(self):
        self.names = {"__name__": "__main__", "__repl_print__": self._show}
        self.modules = {}

    def _show(self, value):
        # What a statement at the prompt is worth.
        if value is not None:
            self.names["_"] = value
            self.write(repr(value) + "\n")

    @property
    def idle(self):
        """Nothing of it would be missed."""
        return len(self.names) == 2 and (not self._app or self._app.verdict)

    def record(self):
        """The app that typed code belongs to."""
        app = self._app
        if not app or app.verdict:
            app = self._app = self.kernel.app("console")
            app.limit = self.console.limit_ms
            app.dir = ""
            app.names = _Names()
            app.modules = self.modules
            app.facades = Views(self)
            app.console = self
            self.kernel.start(app, _keep())
        return app

    def step(self, job, source, _1, _2):
        """Do the job: run the source as "exec" or "single", or call a function."""
        self.typing = True
        self._outcome = None
        builtins.input = _input
        self._late = self.left = self.raw = self.reading = False
        try:
            try:
                port.console_ctrl_c(True)
                if not self.console.mode.shows:
                    self._look()
                if callable(job):
                    job()
                else:
                    exec(compile(source, "<stdin>", job), self.names)
            finally:
                port.console_ctrl_c(False)
        except BaseException as exc:  # all that it raises is for who typed it
            self.kernel.began = ticks_us()
            self.error = exc
            if isinstance(exc, KeyboardInterrupt):
                self._late = self.kernel.guard.is_mine()
        self.typing = False

    def _look(self):
        # A Ctrl-C that came just before this began. Nothing else follows a raw command.
        console = self.console
        kept = b""
        byte = console.read()
        while byte >= 0:
            if byte == 3:
                raise KeyboardInterrupt
            kept += bytes((byte,))
            byte = console.read()
        console.again = kept

    def report(self):
        """What the last step raised, as MicroPython shows it; "" for nothing."""
        error, self.error = self.error, None
        if error is None or isinstance(error, SystemExit):
            return ""
        text = io.StringIO()
        sys.print_exception(error, text)
        lines = [line for line in text.getvalue().split("\n") if 'File "kodkod/' not in line]
        if self._late:
            lines.insert(-1, "stopped: it took more than {} ms".format(self.console.limit_ms))
        return "\n".join(lines)

    def _input(self, *prompt):
        # What is typed is for it alone; a Ctrl-C ends it by itself.
        self.reading = True
        try:
            return _input(*prompt)
        finally:
            self.reading = False

    def kbd_intr(self, char):
        """micropython.kbd_intr of typed code: 3, or -1 while it reads bytes of any kind."""
        self.raw = char != 3
        if self.typing and self._outcome is None:
            port.console_ctrl_c(not self.raw)

    def write(self, text):
        """What typed code prints: shown if it runs now, else a line of its log."""
        if self.typing:
            self.console.say(text)
        else:
            logs.printed(self.kernel.current, text)

    def run(self, coro):
        """asyncio.run: drive the loop, everyone's tasks with it, until `coro` is done."""
        if not self.typing or self._outcome is not None:
            raise RuntimeError("asyncio.run inside a running task: await it instead")
        kernel = self.kernel
        core = asyncio.core
        app = self._app
        task = core.cur_task
        outcome = []
        port.console_ctrl_c(False)
        self._outcome = outcome
        self._interrupted = False
        self._ahead = b""
        app.limit = _BUSY_MS
        inner = kernel.task(app, self._drive(coro, outcome))
        watch = kernel.task(kernel.system, self._watch(inner))
        kernel.current = None
        builtins.input = self._input
        kernel.run()
        builtins.input = _input
        if kernel.error:
            kernel._finished()
        watch.cancel()
        ended = kernel.ending is not _DONE
        if not ended:
            kernel.ending = None
        core.cur_task = task
        kernel.back = 0
        kernel.began = ticks_us()
        kernel.current = app
        self._outcome = None
        app.limit = self.console.limit_ms
        self.console.again = self._ahead + self.console.again
        port.console_ctrl_c(not self.raw)
        if not ended and self._interrupted and not outcome:
            raise KeyboardInterrupt
        if ended or not outcome:
            raise SystemExit
        result, error = outcome
        if self._interrupted and isinstance(error, asyncio.CancelledError):
            error = KeyboardInterrupt()
        if error:
            raise error
        return result

    async def _drive(self, coro, outcome):
        try:
            outcome[:] = await coro, None
        except BaseException as exc:  # all that it raises is for who typed it
            if isinstance(exc, KeyboardInterrupt):
                self._late = self.kernel.guard.is_mine() and not self._interrupted
            outcome[:] = None, exc
        if self._outcome is outcome:  # else it was given up
            self.kernel.ending = _DONE

    async def _watch(self, task):
        looks = _LOOKS
        while looks and not self._app.reason:
            await asyncio.sleep_ms(_LOOK_MS)
            looks -= self._interrupted
            if self._listen():
                task.cancel()
        self.kernel.ending = _DONE

    def is_due(self):
        """Asked by the guard: whether the step that goes on is to be interrupted."""
        if self._outcome is None:  # it is over the limit
            return True
        guard = self.kernel.guard
        if self._listen():
            return guard.fired < 4  # a person restarts no device
        limit = self.console.limit_ms
        if not limit or (guard.fired and not guard.survived(limit)):
            return False
        over = ticks_diff(ticks_us(), self.kernel.began) - limit * 1000
        return over > guard.fired * (limit * 250 + 50000)  # a person's may be among them

    def _listen(self):
        # Nobody else reads the console during asyncio.run: is there a Ctrl-C, or a frame of a
        # host that has come anew? What follows it is for later.
        stop = False
        if self.reading or (self.raw and not self.left):
            return False
        byte = self.console.read()
        while byte >= 0:
            if byte == 3 or not (byte or self._interrupted):
                self._interrupted = stop = True
                self._ahead = b""
            if byte != 3 and self._interrupted:
                self._ahead += bytes((byte,))
            byte = self.console.read()
        return stop

    async def reset(self):
        """What a soft reset does here: end the record, forget the namespace and its modules,
        unmount what mpremote mounted. Nothing else is touched."""
        app, self._app = self._app, None
        if app:
            self.kernel.end(app, "stopped", 0)
            await app.wait()
        self._forget()
        self.unmount()
        os.chdir("/")
        gc.collect()

    def unmount(self):
        """Take away what mpremote has mounted; whether there was anything."""
        try:
            os.umount("/remote")
        except OSError:
            return False
        os.chdir("/")
        return True

    def banner(self):
        """What MicroPython says at its prompt, and the prompt."""
        self.console.prompt = ">>> "
        text = '{}; {} with Kodkod\r\nType "help()" for more information.\r\n>>> '
        return text.format(sys.version.split("; ")[-1], sys.implementation._machine)
