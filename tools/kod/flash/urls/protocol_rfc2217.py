"""rfc2217://host:port as boards need it: opening leaves the board alone, waiting costs nothing."""

from __future__ import annotations

import threading
import warnings

from serial import SerialException, rfc2217


class Serial(rfc2217.Serial):
    """pyserial's, but for three things.

    Opening leaves DTR and RTS as they are. pyserial raises them, and a server for boards
    (esptool's esp_rfc2217_server, emulators) takes that for the wish to enter the boot loader.

    A new time limit for reading is no affair of the server's. pyserial negotiates all settings of
    the line anew for it, in 50 ms at least, and esptool changes it twice for each command.

    Who only looks whether something has come is told, too, that the server is gone.
    """

    _is_opening = False
    _settled: tuple[object, ...] = ()
    _thread: threading.Thread | None

    def open(self) -> None:
        self._settled = ()
        self._is_opening = True
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # pyserial's setDaemon()
                super().open()
        finally:
            self._is_opening = False

    @property
    def in_waiting(self) -> int:
        count = super().in_waiting
        if not count and not (self._thread and self._thread.is_alive()):
            raise SerialException("the server closed the connection")
        return count

    def _update_dtr_state(self) -> None:
        if not self._is_opening:
            super()._update_dtr_state()  # type: ignore[misc]

    def _update_rts_state(self) -> None:
        if not self._is_opening:
            super()._update_rts_state()  # type: ignore[misc]

    def _reconfigure_port(self) -> None:
        wanted = (
            *(self.baudrate, self.bytesize, self.parity, self.stopbits),
            *(self.rtscts, self.xonxoff),
        )
        if wanted != self._settled:
            super()._reconfigure_port()  # type: ignore[misc]
            self._settled = wanted
