"""One JSON Lines file on a disk that may fail: whole lines in, whole lines on the disk."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import time
from datetime import datetime
from pathlib import Path

log = logging.getLogger(__name__)


class LogFile:
    """`path` opened for appending, its folder made where it is missing. Raises OSError.

    Opening repairs a last line that a power cut tore.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        torn = repair_last_line(path)
        if torn:
            log.warning("%s: removed a torn last line of %d bytes", path, torn)
        self._file = path.open("ab", buffering=0)
        self._status = os.fstat(self._file.fileno())
        self.begun_at = _first_time(path)  # Unix seconds
        self._unsynced = False

    @property
    def size(self) -> int:
        """In bytes, whoever else wrote to it or cut it."""
        return os.fstat(self._file.fileno()).st_size

    @property
    def is_gone(self) -> bool:
        """Whether `path` leads elsewhere by now: the file was moved away or deleted."""
        try:
            return not os.path.samestat(self.path.stat(), self._status)
        except FileNotFoundError:
            return True

    def append(self, lines: bytes) -> None:
        """Write `lines` at the end, or nothing: a part written is taken back. Raises OSError."""
        start = self.size
        written = self._file.write(lines)
        if written != len(lines):
            self._file.truncate(start)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._unsynced = True

    def clear(self) -> None:
        """Make it an empty file. Raises OSError."""
        self._file.truncate(0)

    def sync(self) -> None:
        """Wait until what was appended is on the disk itself. Raises OSError."""
        if self._unsynced:
            os.fsync(self._file.fileno())
            self._unsynced = False

    def close(self) -> None:
        self._file.close()


def repair_last_line(path: Path) -> int:
    """End `path` with a whole line: complete the last one, or cut it off if it is no JSON.

    Returns the number of bytes cut off.
    """
    if not path.is_file():
        return 0
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        start = _start_of_last_line(file, size)
        file.seek(start)
        tail = file.read(size - start)
        if not tail or tail.endswith(b"\n"):
            return 0
        try:
            json.loads(tail)
        except ValueError:
            file.truncate(start)
            return len(tail)
        file.write(b"\n")
        return 0


def _start_of_last_line(file: io.BufferedRandom, size: int) -> int:
    """Offset of the first byte after the last line feed before the end, 0 if there is none."""
    position = size
    while position > 0:
        step = min(4096, position)
        position -= step
        file.seek(position)
        found = file.read(step).rfind(b"\n")
        if found >= 0:
            return position + found + 1
    return 0


def _first_time(path: Path) -> float:
    """When the first event of `path` was; now, if it has none."""
    with path.open("rb") as file:
        first = file.readline(65536)
    try:
        return datetime.fromisoformat(json.loads(first)["time"]).timestamp()
    except (ValueError, KeyError, TypeError):
        return time.time()
