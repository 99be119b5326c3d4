"""A log gathered in RAM: lines in, now and then a block of them to the log on the disk out.

It spares an SD card. The file in RAM outlives the process: after `kill -9` the next start brings to
the disk what was left, each line once.
"""

from __future__ import annotations

import time
from pathlib import Path

from edge_daemon.events.log_file import LogFile
from edge_daemon.events.rotating import RotatingLog

LIMIT_BYTES = 4_000_000  # what it may take of RAM
RETRY_S = 10.0  # before a flush that failed is tried again


class RamLog:
    """Gathers lines in a file in `folder`; every `flush_s` of its policy they go to `disk`.

    What an earlier process left there goes first. Every method may raise OSError; nothing is lost
    by it.
    """

    def __init__(self, folder: Path, disk: RotatingLog) -> None:
        self._disk = disk
        self._path = folder / disk.path.name
        self._file: LogFile | None = None
        self._flush_at_s = 0.0
        self._left_over = True
        self._trouble: OSError | None = None

    def open(self) -> None:
        """Make sure that both can be written."""
        self.flush()

    def append(self, lines: bytes) -> None:
        """Write whole `lines` to the RAM; while the disk fails, only as long as there is room."""
        limit = min(LIMIT_BYTES, self._disk.policy.limit_bytes)
        if self._opened().size + len(lines) > limit:
            self.flush()
        self._opened().append(lines)

    def sync(self) -> None:
        """Flush where that is due; raises why the last flush failed until one succeeds."""
        if time.monotonic() >= self._flush_at_s:
            self.flush()
        if self._trouble is not None:
            raise self._trouble

    def tidy(self) -> bool:
        """Take one small step at the old files on the disk; whether there is more to do."""
        return self._disk.tidy()

    def reopen(self) -> None:
        """Flush, to whatever the log's path leads to by now."""
        self._disk.reopen()
        self.flush()

    def close(self) -> None:
        """Flush, and let go of the files."""
        try:
            self.flush()
        finally:
            self._let_go()
            self._disk.close()

    def flush(self) -> None:
        """Move all lines to the disk."""
        self._flush_at_s = time.monotonic() + min(self._disk.policy.flush_s, RETRY_S)
        try:
            self._move()
        except OSError as error:
            self._trouble = error
            raise
        self._trouble = None
        self._flush_at_s = time.monotonic() + self._disk.policy.flush_s

    def _move(self) -> None:
        file = self._opened()
        self._disk.open()
        lines = self._path.read_bytes()
        if self._left_over:
            lines = _not_yet_in(lines, self._disk.path)
        if lines:
            self._disk.append(lines)
        file.clear()
        self._left_over = False
        self._disk.sync()

    def _opened(self) -> LogFile:
        if self._file is not None and self._file.is_gone:
            self._let_go()
        if self._file is None:
            self._file = LogFile(self._path)
        return self._file

    def _let_go(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _not_yet_in(lines: bytes, path: Path) -> bytes:
    """`lines` without those at their start that an interrupted flush already brought to `path`."""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - len(lines), 0))
        tail = file.read()
    end = len(lines)
    while end > 0 and not tail.endswith(lines[:end]):
        end = lines.rfind(b"\n", 0, end - 1) + 1
    return lines[end:]
