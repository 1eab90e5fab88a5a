"""A link over a serial port, and what is there when no Kodkod answers."""

from __future__ import annotations

from typing import Any

from kodkod.link.line import OPENING

from kod.errors import NotThere
from kod.flash import ports
from kod.link import Connection, LinkLost, connect_console

_KEPT = 2000  # bytes of text, to tell what else may be there


class SerialStream:
    """A serial port as the link wants it: reads what is there, and waits only for a first byte."""

    def __init__(self, port: Any) -> None:
        self._port = port

    def read(self) -> bytes:
        return bytes(self._port.read(max(1, self._port.in_waiting)))

    def write(self, data: bytes) -> None:
        self._port.write(data)

    def close(self) -> None:
        self._port.close()


def connect(port: str, timeout_ms: int) -> Connection:
    """Begin a session at a serial port, where having the cable is all that is asked for."""
    heard = bytearray()

    def on_text(data: bytes) -> None:
        heard.extend(data)
        del heard[:-_KEPT]

    stream = SerialStream(ports.open_console(port))
    try:
        return connect_console(stream, port, on_text, timeout_ms)
    except LinkLost as error:
        raise _nobody(port, bytes(heard), str(error)) from None


def _nobody(port: str, heard: bytes, why: str) -> NotThere:
    if OPENING in heard or b">>> " in heard:
        return NotThere(
            f"a bare MicroPython prompt answers at {port}, no Kodkod runs there; "
            f"kod setup --port {port} puts it on"
        )
    lines = heard.decode("utf-8", "replace").split("\n")
    said = next((line.strip() for line in reversed(lines) if line.strip().isprintable()), "")
    why = f"it says: {said[:60]}" if said else why
    return NotThere(
        f"no Kodkod answers at {port} ({why}); if MicroPython runs there, kod setup puts it on, "
        "else kod flash"
    )
