"""The one place where kod touches mpremote, whose Python interface is not promised to stay."""

from __future__ import annotations

import base64
import contextlib
import io
import select
import struct
from collections.abc import Mapping
from typing import Any

from kod.errors import Unreachable, UserError

_ANSWER_S = 10  # an erase of the flash may come between a command and its answer
_PROMPT_S = 4  # seconds to a prompt; a start takes 2
_TRIES = 3
_LOOK_S = 0.02  # between two looks at a line that cannot be waited for
_CHUNK = 1536  # bytes of a file in one command; a device has little RAM to parse it in


class Refused(UserError):
    """What a device was asked to do in its REPL raised there; `detail` is its traceback."""


def romfs_write(files: Mapping[str, bytes]) -> bytes:
    """One ROMFS image of `files`: relative names with `/`, in the order they are given.

    Files of one folder end up together, where the first of them stands.
    """
    from mpremote.romfs import VfsRomWriter

    tree: dict[str, Any] = {}
    for name, data in files.items():
        *folders, leaf = name.split("/")
        here = tree
        for folder in folders:
            here = here.setdefault(folder, {})
        here[leaf] = data
    writer = VfsRomWriter()
    _write(writer, tree)
    return bytes(writer.finalise())


def _write(writer: Any, tree: dict[str, Any]) -> None:
    for name, value in tree.items():
        if isinstance(value, dict):
            writer.opendir(name)
            _write(writer, value)
            writer.closedir()
        else:
            writer.mkfile(name, value)


class Repl:
    """The raw REPL of a device at a serial port, through mpremote's transport.

    Errors are kod's: Unreachable when the device does not answer, `Refused` when what it was
    asked to do raised there.
    """

    def __init__(self, port: str) -> None:
        from mpremote.transport import TransportError
        from mpremote.transport_serial import SerialTransport

        from kod.flash import ports

        error = ports.probe(port)
        if error:
            raise error
        self.port = port
        try:
            self._transport = SerialTransport(port, baudrate=ports.CONSOLE_BAUD, timeout=_ANSWER_S)
        except (TransportError, OSError, ValueError):
            ports.open_console(port).close()  # raises with the reason, which mpremote swallows
            raise Unreachable(f"{port} cannot be opened; try again") from None

    def __enter__(self) -> Repl:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Leaves the raw REPL, as far as the device still listens."""
        with contextlib.suppress(Exception):  # whatever it is, the port must be closed
            if self._transport.in_raw_repl:
                self._transport.exit_raw_repl()
        with contextlib.suppress(OSError):
            self._transport.close()

    def enter(self) -> None:
        """Interrupts what runs, resets the interpreter softly, and enters the raw REPL."""
        from mpremote.transport import TransportError

        said: object = ""
        line = self._transport.serial
        line.timeout = _PROMPT_S / 2
        for _ in range(_TRIES):  # opening the port may have reset it: while it starts it is deaf
            try:
                with contextlib.redirect_stdout(io.StringIO()):  # it prints what it dislikes
                    self._transport.enter_raw_repl(timeout_overall=_PROMPT_S)
                line.timeout = _ANSWER_S
                return
            except (TransportError, OSError) as error:
                said = error
        raise Unreachable(
            f"no MicroPython prompt on {self.port} ({said}); press EN (RST) and try again, "
            "or put MicroPython on the board: kod flash"
        )

    def run(self, code: str | bytes) -> str:
        """Runs `code` there; what it printed."""
        return str(self._do(self._transport.exec, code).decode("utf-8", "replace"))

    def value(self, expression: str) -> Any:
        """The value of an expression there: plain ones only."""
        return self._do(self._transport.eval, expression)

    def read(self, path: str) -> bytes:
        return bytes(self._do(self._transport.fs_readfile, path, 512))

    def write(self, path: str, data: bytes) -> None:
        """Writes a file; base64 needs a third of the line that mpremote's own way needs."""
        self.run(f"from binascii import a2b_base64 as _b\n_f = open({path!r}, 'wb')")
        for at in range(0, len(data), _CHUNK):
            text = base64.b64encode(data[at : at + _CHUNK]).decode()
            self.run(f"_f.write(_b('{text}'))")
        self.run("_f.close()")

    def send(self, code: str) -> None:
        """Runs `code` there without waiting for its end: it restarts the device."""
        self._do(self._transport.exec_raw_no_follow, code)
        self._transport.in_raw_repl = False

    def _do(self, action: Any, *arguments: object) -> Any:
        from mpremote.transport import TransportError, TransportExecError

        try:
            return action(*arguments)
        except TransportExecError as error:
            last = error.error_output.strip().splitlines()[-1:] or ["no reason given"]
            raise Refused(f"the device says: {last[0]}", error.error_output) from None
        except FileNotFoundError:
            raise
        except (TransportError, OSError, struct.error, ValueError, SyntaxError) as error:
            raise Unreachable(
                f"the line to the device on {self.port} was lost: {error or 'no answer'}"
            ) from None


def _wait_for_either(typed: int, line: Any) -> None:
    """Until there is something from the keyboard or the line: mpremote waits for the line's file
    descriptor, which a port on the network has not."""
    while not line.in_waiting and not select.select([typed], [], [], _LOOK_S)[0]:
        pass


def prompt(port: str) -> None:
    """A person at the prompt of the device at `port`, until Ctrl-] or Ctrl-X."""
    from types import SimpleNamespace

    from mpremote.console import Console
    from mpremote.repl import do_repl_main_loop

    with Repl(port) as repl:
        repl._transport.serial.write(b"\x03")  # away with what somebody left half typed
        terminal = Console()
        if hasattr(terminal, "infd") and not hasattr(repl._transport.serial, "fd"):
            terminal.waitchar = lambda line: _wait_for_either(terminal.infd, line)
        terminal.enter()
        try:
            gone = do_repl_main_loop(
                SimpleNamespace(transport=repl._transport),
                terminal,
                terminal.write,
                escape_non_printable=False,
                code_to_inject=None,
                file_to_inject=None,
            )
        except OSError:
            gone = True
        finally:
            terminal.exit()
    if gone:
        raise Unreachable(f"{port} is gone; is the cable still plugged in?")
