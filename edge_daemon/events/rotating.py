"""The event log on disk: a growing file and an archive of older ones, within a size limit."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from edge_daemon.events.archive import OFF_S, Archive

Fsync = Literal["always", "every_second", "never"]

TIDY_S: Final = 3600.0  # how often old files are checked if the log is not rotated
SYNC_S: Final = 1.0
MODE: Final = 0o640  # of a new log: its user writes, its group may read, others may not

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LogPolicy:
    """When the log is rotated, and how much is kept; 0 seconds stand for never.

    The file is rotated at `rotate_bytes`, or at a third of `keep_bytes` where that is less, and
    when its first event is `rotate_s` old. All files together stay below `keep_bytes`. `flush_s`
    is for a `RamLog`.
    """

    rotate_bytes: float = 10e6
    rotate_s: float = 0.0
    keep_bytes: float = 100e6
    keep_s: float = 0.0
    fsync: Fsync = "never"
    flush_s: float = 900.0

    @property
    def limit_bytes(self) -> float:
        """The size at which the file is rotated.

        It leaves room for the growing file and for the compressed copy of a rotated one.
        """
        return min(self.rotate_bytes, self.keep_bytes / 3)


class LogFile:
    """A JSON Lines file opened for appending; its folder is created if it is missing.

    Opening repairs a last line that was cut short by a power cut. Constructor and methods raise
    OSError, also if the file is not a regular file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        _require_regular(path)
        torn = repair_last_line(path)
        if torn:
            log.warning("%s: removed an incomplete last line of %d bytes", path, torn)
        self._file = open(path, "ab", buffering=0, opener=_open_private)  # noqa: SIM115
        self._status = os.fstat(self._file.fileno())
        self._age_s = _age_of_first_event_s(path)
        self._opened_s = time.monotonic()
        self._unsynced = False

    @property
    def size(self) -> int:
        """The size in bytes, also after other programs changed it."""
        return os.fstat(self._file.fileno()).st_size

    @property
    def age_s(self) -> float:
        """The age of the first event in seconds, which setting the clock does not change."""
        return self._age_s + time.monotonic() - self._opened_s

    @property
    def is_gone(self) -> bool:
        """Whether this file was moved away or deleted, so that `path` is another one or none."""
        try:
            return not os.path.samestat(self.path.stat(), self._status)
        except FileNotFoundError:
            return True

    def append(self, lines: bytes) -> None:
        """Write all of `lines`, or nothing: a partial write is removed again."""
        start = self.size
        if not start:
            self._age_s, self._opened_s = 0.0, time.monotonic()
        written = self._file.write(lines)
        if written != len(lines):
            self._file.truncate(start)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._unsynced = True

    def clear(self) -> None:
        """Remove all lines."""
        self._file.truncate(0)

    def sync(self) -> None:
        """Wait until everything written has reached the disk."""
        if self._unsynced:
            os.fsync(self._file.fileno())
            self._unsynced = False

    def close(self) -> None:
        self._file.close()


class RotatingLog:
    """Appends lines to `path` by `policy`.

    Methods raise OSError; the next call then opens the file again.
    """

    def __init__(self, path: Path, policy: LogPolicy) -> None:
        self.path = path
        self.policy = policy
        self._archive = Archive(path)
        self._file: LogFile | None = None
        self._compression: Iterator[None] | None = None
        self._tidy_at_s = time.monotonic()
        self._synced_s = 0.0

    def adopt(self, policy: LogPolicy) -> None:
        """Follow another policy from now on."""
        self.policy = policy

    def open(self) -> None:
        """Check that there is a file to write to."""
        self._opened()

    def append(self, lines: bytes) -> None:
        """Write whole `lines`, after rotating a file that is full or old."""
        try:
            if self._is_due(self._opened(), len(lines)):
                self._rotate()
            self._opened().append(lines)
        except OSError:
            self.reopen()
            raise

    def sync(self) -> None:
        """Sync to the disk if `policy.fsync` requires it now."""
        fsync, now_s = self.policy.fsync, time.monotonic()
        due = fsync == "always" or (fsync == "every_second" and now_s - self._synced_s >= SYNC_S)
        if due and self._file is not None:
            self._synced_s = now_s
            self._file.sync()

    def tidy(self) -> bool:
        """Do one small step of compressing or deleting old files; return whether there is more."""
        if self._compression is None:
            if time.monotonic() < self._tidy_at_s:
                return False
            self._tidy_at_s = time.monotonic() + TIDY_S
            self._compression = self._archive.compress()
        compression, self._compression = self._compression, None  # not resumed after an error
        for _ in compression:
            self._compression = compression
            return True
        self._prune()
        return False

    def reopen(self) -> None:
        """Close the file; the next line goes to the file that is then at `path`."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def close(self) -> None:
        """Sync, unless `policy.fsync` is never, and close the file."""
        try:
            if self._file is not None and self.policy.fsync != "never":
                self._file.sync()
        finally:
            self.reopen()

    def _opened(self) -> LogFile:
        if self._file is not None and self._file.is_gone:
            self.reopen()
        if self._file is None:
            self._file = LogFile(self.path)
        return self._file

    def _is_due(self, file: LogFile, more: int) -> bool:
        if not file.size:
            return False
        is_old = 0 < self.policy.rotate_s <= file.age_s
        return is_old or file.size + more > self.policy.limit_bytes

    def _rotate(self) -> None:
        self.close()
        self._archive.take()
        self._prune(spare=1)  # it may be too large until it is compressed
        self._tidy_at_s = time.monotonic()

    def _prune(self, spare: int = 0) -> None:
        policy = self.policy
        room = policy.keep_bytes - 2 * policy.limit_bytes
        self._archive.prune(keep_bytes=room, keep_s=policy.keep_s, spare=spare)


def repair_last_line(path: Path) -> int:
    """Complete the last line of `path` with a line feed, or cut it off if it is not JSON.

    Returns the number of bytes cut off. Raises OSError.
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
        except (ValueError, RecursionError):
            file.truncate(start)
            return len(tail)
        file.write(b"\n")
        return 0


def _require_regular(path: Path) -> None:
    """Raise OSError for a FIFO, socket, device or directory: opening one may hang."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is not a regular file")


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK, MODE)


def _start_of_last_line(file: io.BufferedRandom, size: int) -> int:
    """Return the offset after the last line feed before the end of the file, 0 if there is none."""
    position = size
    while position > 0:
        step = min(4096, position)
        position -= step
        file.seek(position)
        found = file.read(step).rfind(b"\n")
        if found >= 0:
            return position + found + 1
    return 0


def _age_of_first_event_s(path: Path) -> float:
    """Seconds since the first event of `path`; 0 if there is none or its clock was wrong."""
    with path.open("rb") as file:
        first = file.readline(65536)
    try:
        age_s = time.time() - datetime.fromisoformat(json.loads(first)["time"]).timestamp()
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return 0.0
    return age_s if 0 <= age_s < OFF_S else 0.0
