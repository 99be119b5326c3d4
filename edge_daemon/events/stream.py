"""An event log that is a stream: standard output, for a journal or a container's log, or a device.

A stream has no files, and is neither rotated nor read back.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from edge_daemon.events.rotating import LogPolicy

STANDARD: Final = {
    "-": 1,
    "/dev/stdout": 1,
    "/dev/fd/1": 1,
    "/proc/self/fd/1": 1,
    "/dev/stderr": 2,
    "/dev/fd/2": 2,
    "/proc/self/fd/2": 2,
}


def is_stream(path: str) -> bool:
    """Return whether `path` is a stream: `-`, standard output, or a character device."""
    if path in STANDARD:
        return True
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISCHR(mode) or _standard_stream(path) is not None


class StreamLog:
    """Writes lines to `path`, for which `is_stream` holds. Methods raise OSError."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._is_torn = False

    def adopt(self, policy: LogPolicy) -> None:
        """Do nothing: a policy applies to files only."""

    def open(self) -> None:
        """Check that lines can be written."""
        self._opened()

    def append(self, lines: bytes) -> None:
        """Write whole `lines`; after an interrupted write they begin on a new line."""
        descriptor = self._opened()
        rest = memoryview(b"\n" + lines if self._is_torn else lines)
        while rest:
            written = os.write(descriptor, rest)
            self._is_torn = written < len(rest)
            rest = rest[written:]

    def sync(self) -> None:
        """Do nothing: written lines are with the reader."""

    def tidy(self) -> bool:
        """Return False: there is nothing to tidy."""
        return False

    def reopen(self) -> None:
        """Open the device again before the next line."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def close(self) -> None:
        self.reopen()

    def _opened(self) -> int:
        if self._descriptor is None:
            standard = STANDARD.get(self._path) or _standard_stream(self._path)
            if standard is not None:
                self._descriptor = os.dup(standard)
            else:
                self._descriptor = os.open(self._path, os.O_WRONLY | os.O_NOCTTY)
        return self._descriptor


def _standard_stream(path: str) -> int | None:
    """Return the standard stream that `path` leads to, as a link to /dev/stdout; None if none."""
    status = Path(path).stat()
    if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
        return None
    for descriptor in (1, 2):
        try:
            if os.path.samestat(os.fstat(descriptor), status):
                return descriptor
        except OSError:  # it is closed
            continue
    return None
