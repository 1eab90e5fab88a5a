"""The one module that knows esptool: it runs it as a program of its own and reads what it says.

esptool's commands and options are documented and stable, and a program of its own can be
ended, leaves no state behind, and shows people the very command they could run by hand.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kod.errors import NotThere, Unreachable, UserError
from kod.flash import ports
from kod.flash.boards import CHIPS, size_in_bytes
from kod.flash.plan import Piece

ROM_BAUD = 115200
_ESPTOOL = [sys.executable, "-m", "kod.flash.run_esptool"]
_WRITING = re.compile(r"Writing at 0x([0-9a-f]+)")
_PERCENT = re.compile(r"(\d+)(?:\.\d+)?\s?%")


class StubFailed(UserError):
    """The program that esptool runs in the chip's RAM does not start; its ROM may do without."""


Progress = Callable[[str, int, int], None]  # what, bytes done, bytes in all


@dataclass(frozen=True)
class Line:
    """How a board is reached, and how it is reset before and after."""

    port: str
    baud: int = ROM_BAUD
    before: str = "default-reset"
    after: str = "hard-reset"
    stub: bool = True

    def arguments(self, chip: str, baud: int, after: str) -> list[str]:
        found = ["--chip", chip, "--port", self.port, "--baud", str(baud)]
        found += ["--before", self.before, "--after", after]
        return found if self.stub else [*found, "--no-stub"]


@dataclass(frozen=True)
class Chip:
    """What esptool found at the other end of the line. flash_size 0: it could not tell."""

    name: str
    description: str
    mac: str
    flash_size: int


def detect(line: Line, chip: str = "auto") -> Chip:
    """Asks the boot loader what it is. The chip then stays in it, so that a board that was put
    there by hand need not be put there again."""
    text = _run([*line.arguments(chip, ROM_BAUD, "no-reset-stub"), "flash-id"], line)
    kind = re.search(r"Chip type:\s*(.+)", text)
    mac = re.search(r"MAC:\s*([0-9a-f:]{17})", text)
    size = re.search(r"Detected flash size:\s*(\d+[KM]B)", text)
    found = re.search(r"Connected to (\S+) on ", text)
    label = found.group(1) if found else ""
    name = next((key for key, (known, _) in CHIPS.items() if known == label), None)
    if name is None:
        raise UserError(
            f"the chip on {line.port} ({label or 'unknown'}) is none that kod knows; "
            f"it knows {', '.join(label for label, _ in CHIPS.values())}"
        )
    return Chip(
        name=name,
        description=kind.group(1).strip() if kind else label,
        mac=mac.group(1) if mac else "",
        flash_size=size_in_bytes(size.group(1)) if size else 0,
    )


def write(
    line: Line, chip: str, pieces: list[Piece], *, erase: bool = False, progress: Progress
) -> None:
    """Writes all pieces in one run; esptool compares the flash's MD5 with each piece's."""
    total = sum(len(piece.data) for piece in pieces)
    with tempfile.TemporaryDirectory() as folder:  # mode 0700: one piece holds the key
        arguments = [*line.arguments(chip, line.baud, line.after), "write-flash"]
        arguments += ["--erase-all"] if erase else []
        for piece in pieces:
            path = Path(folder) / f"{piece.name}.bin"
            path.write_bytes(piece.data)
            arguments += [hex(piece.offset), str(path)]

        def see(text: str) -> None:
            at = _WRITING.search(text)
            if at:
                progress("writing", _done(pieces, int(at.group(1), 16)), total)

        text = _run(arguments, line, see)
    verified = text.count("Hash of data verified")
    if verified < len(pieces):
        raise UserError(
            f"only {verified} of {len(pieces)} regions were verified; run the command again"
        )
    progress("written", total, total)


def write_command(line: Line, chip: str, pieces: list[Piece], *, erase: bool = False) -> str:
    """The command that `write` runs, for people; the files have the pieces' names."""
    arguments = ["esptool", *line.arguments(chip, line.baud, line.after), "write-flash"]
    arguments += ["--erase-all"] if erase else []
    for piece in pieces:
        arguments += [hex(piece.offset), f"{piece.name}.bin"]
    return shlex.join(arguments)


def read(line: Line, chip: str, offset: int, size: int, progress: Progress) -> bytes:
    """Reads the flash. The chip stays in its boot loader."""

    def see(text: str) -> None:
        at = _PERCENT.search(text)
        if at:
            progress("reading", size * int(at.group(1)) // 100, size)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "flash.bin"
        arguments = line.arguments(chip, line.baud, "no-reset-stub")
        _run([*arguments, "read-flash", hex(offset), hex(size), str(path)], line, see)
        data = path.read_bytes()
    if len(data) != size:
        raise Unreachable(f"only {len(data)} of {size} bytes of the flash could be read")
    return data


def version() -> str:
    """esptool's version."""
    done = subprocess.run([*_ESPTOOL, "version"], capture_output=True, text=True, check=False)
    found = re.search(r"v?(\d+\.\d+(?:\.\d+)?)", done.stdout)
    return found.group(1) if found else ""


def _done(pieces: list[Piece], address: int) -> int:
    """How much is written when esptool writes at `address`; it goes by rising addresses."""
    done = 0
    for piece in sorted(pieces, key=lambda piece: piece.offset):
        if address >= piece.end:
            done += len(piece.data)
        elif address > piece.offset:
            done += address - piece.offset
    return done


def _run(arguments: list[str], line: Line, see: Callable[[str], None] = lambda text: None) -> str:
    """Runs esptool; its output. UserError when it fails: one line, and what to do next."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
    environment |= {"NO_COLOR": "1", "COLUMNS": "200", "TERM": "dumb"}
    said: list[str] = []
    with subprocess.Popen(
        [*_ESPTOOL, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
    ) as process:
        try:
            for text in _lines(process):
                said.append(text)
                see(text)
            code = process.wait()
        except BaseException:  # Ctrl-C too: esptool must not go on writing behind the prompt
            process.kill()
            raise
    output = "\n".join(said)
    if code:
        raise failure(output, line)
    return output


def _lines(process: subprocess.Popen[bytes]) -> Iterator[str]:
    """What esptool says, line by line; its progress ends lines with a carriage return."""
    assert process.stdout is not None
    rest = b""
    while True:
        data = os.read(process.stdout.fileno(), 4096)
        if not data:
            break
        *whole, rest = re.split(rb"[\r\n]+", rest + data)
        yield from (text.decode("utf-8", "replace") for text in whole)
    yield rest.decode("utf-8", "replace")


def failure(output: str, line: Line) -> UserError:
    """The error that esptool's output means. Every known one is one line with the next step."""
    flat = " ".join(output.split())
    port = line.port
    if "Could not open" in flat or "could not open port" in flat.lower():
        return ports.cannot_open(port, flat)
    if "This chip is" in flat and "Wrong chip argument" in flat:
        found = re.search(r"This chip is (\S+?), not (\S+?)\.", flat)
        real, wanted = found.groups() if found else ("another", "the one asked for")
        return UserError(
            f"the chip on {port} is {real}, not {wanted}; choose a board of that chip: "
            "kod flash --list-boards"
        )
    if "will not fit in" in flat or "goes past" in flat:
        found = re.search(r"will not fit in (\d+) bytes", flat)
        size = f" ({int(found.group(1)) >> 20} MB)" if found else ""
        return UserError(f"the flash of the board on {port}{size} is too small for this image")
    if "MD5 of file does not match" in flat or "written flash region is empty" in flat:
        return UserError(
            f"what was written to {port} reads back different (MD5); run the command again with "
            f"--baud {ROM_BAUD}, another cable, or another power supply"
        )
    if "Download mode successfully detected, but getting no sync reply" in flat:
        return Unreachable(f"{port} hears the boot loader but cannot reach it: check the TX line")
    if "Wrong boot mode detected" in flat or "Failed to connect to" in flat:
        return Unreachable(
            f"no boot loader answers on {port}; hold the BOOT button, press and release EN "
            "(RST), release BOOT, and run the command again"
        )
    if re.search(r"Failed to (?:start stub|enter RAM|write to target RAM|leave RAM)", flat):
        return StubFailed(f"esptool's helper does not start in the chip on {port}; try --no-stub")
    if re.search(r"Failed to (?:write|enter (?:compressed )?flash|erase|leave)", flat):
        found = re.search(r"A fatal error occurred: (Failed to [^.]*?)(?: \(result|\.|$)", flat)
        what = found.group(1) if found else "a write failed"
        return UserError(
            f"writing the flash on {port} failed: {what}; run the command again with "
            f"--baud {ROM_BAUD}; if it stays so the flash may be broken or write-protected"
        )
    if "No module named esptool" in flat:
        return NotThere("esptool is missing: pip install 'esptool>=5,<6'")
    if re.search(r"serial exception|No serial data received|stopped responding|timed out", flat):
        return Unreachable(f"the line to {port} was lost; check the cable and run it again")
    last = re.search(r"fatal error occurred: (.*?)(?:For troubleshooting|$)", flat)
    if not last and ports.is_url(port):
        return Unreachable(f"the server at {port} hung up; is the port there free?")
    return UserError(
        f"esptool failed on {port}: {last.group(1).strip() if last else 'no reason given'}",
        detail="" if last else output.strip(),
    )
