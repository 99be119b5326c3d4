"""Bell: wakes a thread that waits for a file descriptor."""

from __future__ import annotations

import socket
from contextlib import suppress


class Bell:
    """Rung by any thread, at any time; it never blocks, and rings once however often it is rung."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def fileno(self) -> int:
        """Readable from a ring on until `hush`."""
        return self._reader.fileno()

    def ring(self) -> None:
        with suppress(BlockingIOError):  # it rings already
            self._writer.send(b"!")

    def hush(self) -> None:
        with suppress(BlockingIOError):
            while self._reader.recv(4096):
                pass
