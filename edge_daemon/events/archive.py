"""Rotated log files: `events.jsonl` becomes `events.000001.jsonl`, then `events.000001.jsonl.gz`.

Files are numbered, not dated: a board without a real-time clock boots in the past, and its newest
file would sort before the others.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from edge_daemon.core.files import PART, part_of, replacing

CHUNK: Final = 65536
STEP_S: Final = 60.0  # the clock was set if it moves by more than this against the monotonic clock
OFF_S: Final = 366 * 86400.0  # a device that seems to have been off for longer has a wrong clock


class Retention:
    """Deletes the oldest of some files, by their total size and by their age.

    A file's age is counted from its modification time. When the clock is set, all modification
    times are moved by the same step, so that the ages stay the same: a clock that jumps from 1970
    to now, or to 2099 by mistake, deletes nothing. `files` lists the files, oldest first. Raises
    OSError.
    """

    def __init__(self, files: Callable[[], Sequence[Path]]) -> None:
        self._files = files
        self._offset_s: float | None = None  # wall clock minus monotonic clock

    def prune(self, *, keep_bytes: float, keep_s: float, spare: int = 0) -> int:
        """Delete the oldest files until the others fit `keep_bytes` and `keep_s`.

        A `keep_s` of 0 keeps files of any age. The newest `spare` files are always kept. Returns
        how many files were deleted.
        """
        self._follow_clock()
        files = list(self._files())
        status = {path: path.stat() for path in files}
        total, now = sum(each.st_size for each in status.values()), time.time()
        deleted = 0
        for path in files[: len(files) - spare]:
            is_old = keep_s > 0 and now - status[path].st_mtime > keep_s
            if total <= keep_bytes and not is_old:
                break
            path.unlink()
            total -= status[path].st_size
            deleted += 1
        return deleted

    def _follow_clock(self) -> None:
        """Move modification times along with a clock that was set since the last call."""
        now, offset_s = time.time(), time.time() - time.monotonic()
        if self._offset_s is None:
            newest = max((path.stat().st_mtime for path in self._files()), default=now)
            step_s = now - newest if now - newest > OFF_S else 0.0
        else:
            step_s = offset_s - self._offset_s
        self._offset_s = offset_s
        if abs(step_s) < STEP_S:
            return
        for path in self._files():
            modified = path.stat().st_mtime
            # A file that was in the future of the old clock was dated by a correct clock.
            if modified <= now - step_s + STEP_S:
                os.utime(path, (modified + step_s,) * 2)


class Archive:
    """The rotated files of the log at `path`, in the same folder. Methods raise OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        number = re.escape(path.stem) + r"\.(\d{6,})" + re.escape(path.suffix)
        self._name = re.compile(rf"{number}(\.gz)?({re.escape(PART)})?")
        self._retention = Retention(lambda: [file for _, file in self._numbered()])

    def files(self) -> list[Path]:
        """Return the rotated files, oldest first, each once even if it is also compressed."""
        files = [file for _, file in self._numbered() if file.suffix != PART]
        names = {file.name for file in files}
        return [file for file in files if f"{file.name}.gz" not in names]

    def take(self) -> None:
        """Rename the log to the next number; its age is counted from now."""
        last = max((number for number, _ in self._numbered()), default=0)
        target = self._path.with_name(f"{self._path.stem}.{last + 1:06}{self._path.suffix}")
        self._path.rename(target)
        with suppress(PermissionError):  # another user's file
            os.utime(target)

    def prune(self, *, keep_bytes: float, keep_s: float, spare: int = 0) -> None:
        """Delete files beyond `keep_bytes` or older than `keep_s`, but not the newest `spare`."""
        self._retention.prune(keep_bytes=keep_bytes, keep_s=keep_s, spare=spare)

    def compress(self) -> Iterator[None]:
        """Compress plain files, oldest first; yield after every chunk.

        It may be stopped after any step, even by `kill -9`, and started again.
        """
        files = [file for _, file in self._numbered()]
        for file in files:
            if file.suffix == PART:
                file.unlink()
        for file in files:
            if not file.name.endswith((".gz", PART)) and file.exists():  # may be pruned meanwhile
                yield from _compress(file)

    def _numbered(self) -> list[tuple[int, Path]]:
        """Return the rotated files with their numbers, oldest first."""
        found = ((self._name.fullmatch(file.name), file) for file in self._path.parent.iterdir())
        return sorted((int(name[1]), file) for name, file in found if name)


def _compress(file: Path) -> Iterator[None]:
    """Replace `file` by a .gz, which gets its final name when it is complete and synced."""
    target = file.with_name(f"{file.name}.gz")
    with file.open("rb") as plain, replacing(target, mode=0o600) as raw:
        with gzip.GzipFile(filename=file.name, mode="wb", fileobj=raw) as packed:
            while chunk := plain.read(CHUNK):
                packed.write(chunk)
                yield
        raw.flush()
        shutil.copystat(file, part_of(target))
    file.unlink(missing_ok=True)
