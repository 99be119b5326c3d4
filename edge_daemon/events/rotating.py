"""The log on the disk: lines in, a growing file and an archive of old ones out, within a limit."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge_daemon.events.archive import Archive
from edge_daemon.events.log_file import LogFile

Fsync = Literal["always", "every_second", "never"]

TIDY_S = 3600.0  # how often old files are looked at when nothing else calls for it
SYNC_S = 1.0


@dataclass(frozen=True, slots=True)
class LogPolicy:
    """How a log grows and ages; 0 seconds stand for never.

    The file is put aside at `rotate_bytes`, or a third of `keep_bytes`, and when its first event
    is `rotate_s` old. All files together stay below `keep_bytes`. `flush_s` is a `RamLog`'s.
    """

    rotate_bytes: float = 10e6
    rotate_s: float = 0.0
    keep_bytes: float = 100e6
    keep_s: float = 0.0
    fsync: Fsync = "never"
    flush_s: float = 900.0

    @property
    def limit_bytes(self) -> float:
        """Room is kept for the growing file, and for the compressed copy of one put aside."""
        return min(self.rotate_bytes, self.keep_bytes / 3)


class RotatingLog:
    """Appends lines to `path` by `policy`, which may be replaced at any time.

    Every method may raise OSError; the next call then starts from what is on the disk.
    """

    def __init__(self, path: Path, policy: LogPolicy) -> None:
        self.path = path
        self.policy = policy
        self._archive = Archive(path)
        self._file: LogFile | None = None
        self._chores: Iterator[None] | None = None
        self._tidy_at_s = time.monotonic()
        self._synced_s = 0.0

    def open(self) -> None:
        """Make sure that there is a file to write to."""
        self._opened()

    def append(self, lines: bytes) -> None:
        """Write whole `lines`, first putting aside a file that is full or old."""
        try:
            if self._is_over(self._opened(), len(lines)):
                self._rotate()
            self._opened().append(lines)
        except OSError:
            self.reopen()
            raise

    def sync(self) -> None:
        """Bring to the disk itself what `fsync` says should be there by now."""
        fsync, now_s = self.policy.fsync, time.monotonic()
        due = fsync == "always" or (fsync == "every_second" and now_s - self._synced_s >= SYNC_S)
        if due and self._file is not None:
            self._synced_s = now_s
            self._file.sync()

    def tidy(self) -> bool:
        """Take one small step at the old files; whether there is more to do."""
        if self._chores is None:
            if time.monotonic() < self._tidy_at_s:
                return False
            self._tidy_at_s = time.monotonic() + TIDY_S
            self._prune()
            self._chores = self._archive.compress()
        chores, self._chores = self._chores, None  # one that fails is not taken up again
        for _ in chores:
            self._chores = chores
            return True
        return False

    def reopen(self) -> None:
        """Let go of the file; the next line goes to whatever `path` then is."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def close(self) -> None:
        """Sync, unless the policy says never, and let go of the file."""
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

    def _is_over(self, file: LogFile, more: int) -> bool:
        if not file.size:
            return False
        too_old = 0 < self.policy.rotate_s <= time.time() - file.begun_at
        return too_old or file.size + more > self.policy.limit_bytes

    def _rotate(self) -> None:
        self.close()
        self._archive.take()
        self._prune()
        self._tidy_at_s = time.monotonic()

    def _prune(self) -> None:
        policy = self.policy
        room = policy.keep_bytes - 2 * policy.limit_bytes
        self._archive.prune(keep_bytes=room, keep_s=policy.keep_s)
