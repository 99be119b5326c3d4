"""An event log that is collected in RAM and written to the disk in blocks, to spare an SD card.

The file in RAM survives the process: after `kill -9`, the next start writes the remaining lines to
the disk, each line once.
"""

from __future__ import annotations

import time
from pathlib import Path

from edge_daemon.events.rotating import LogFile, LogPolicy, RotatingLog

LIMIT_BYTES = 4_000_000  # how much RAM it may take
RETRY_S = 10.0  # before a failed flush is tried again


class RamLog:
    """Collects lines in a file in `folder` and flushes them to `disk` every `policy.flush_s`.

    Lines of an earlier process are flushed first. Methods raise OSError; an error loses no line.
    """

    def __init__(self, folder: Path, disk: RotatingLog) -> None:
        self._disk = disk
        self._path = folder / disk.path.name
        self._file: LogFile | None = None
        self._flush_at_s = 0.0
        self._has_leftovers = True
        self._error: OSError | None = None

    def adopt(self, policy: LogPolicy) -> None:
        """Follow another policy from now on."""
        self._disk.adopt(policy)

    def open(self) -> None:
        """Check that RAM and disk can be written."""
        self.flush()

    def append(self, lines: bytes) -> None:
        """Write whole `lines` to RAM; fails if RAM is full and the disk cannot be written."""
        limit = min(LIMIT_BYTES, self._disk.policy.limit_bytes)
        if self._opened().size + len(lines) > limit:
            self.flush()
        self._opened().append(lines)

    def sync(self) -> None:
        """Flush if it is due; raises the error of the last flush until one succeeds."""
        if time.monotonic() >= self._flush_at_s:
            self.flush()
        if self._error is not None:
            raise self._error

    def tidy(self) -> bool:
        """Do one small step of tidying old files on the disk; return whether there is more."""
        return self._disk.tidy()

    def reopen(self) -> None:
        """Flush to the file that is now at the log's path."""
        self._disk.reopen()
        self.flush()

    def close(self) -> None:
        """Flush and close the files."""
        try:
            self.flush()
        finally:
            self._close_ram()
            self._disk.close()

    def flush(self) -> None:
        """Move all lines to the disk."""
        self._flush_at_s = time.monotonic() + min(self._disk.policy.flush_s, RETRY_S)
        try:
            self._move()
        except OSError as error:
            self._error = error
            raise
        self._error = None
        self._flush_at_s = time.monotonic() + self._disk.policy.flush_s

    def _move(self) -> None:
        file = self._opened()
        self._disk.open()
        lines = self._path.read_bytes()
        if self._has_leftovers:
            lines = _missing_in(self._disk.path, lines)
        if lines:
            self._disk.append(lines)
        file.clear()
        self._has_leftovers = False
        self._disk.sync()

    def _opened(self) -> LogFile:
        if self._file is not None and self._file.is_gone:
            self._close_ram()
        if self._file is None:
            self._file = LogFile(self._path)
        return self._file

    def _close_ram(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _missing_in(path: Path, lines: bytes) -> bytes:
    """Return `lines` without the first ones that an interrupted flush already wrote to `path`."""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - len(lines), 0))
        tail = file.read()
    end = len(lines)
    while end > 0 and not tail.endswith(lines[:end]):
        end = lines.rfind(b"\n", 0, end - 1) + 1
    return lines[end:]
