"""Log files put aside: `events.jsonl` in, `events.000001.jsonl.gz` and so on out, within a limit.

They are numbered, not dated: a board without a clock of its own starts in the past, and then the
newest file would look like the oldest.
"""

from __future__ import annotations

import gzip
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from edge_daemon.core.files import PART, part_of, replacing
from edge_daemon.events.retention import prune

CHUNK = 65536


class Archive:
    """The files put aside of the log at `path`, in its folder. Every method raises OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        number = re.escape(path.stem) + r"\.(\d{6,})" + re.escape(path.suffix)
        self._name = re.compile(rf"{number}(\.gz)?({re.escape(PART)})?")

    def files(self) -> list[Path]:
        """The files put aside, oldest first; one that is both plain and compressed only once."""
        files = [file for _, file in self._numbered() if file.suffix != PART]
        names = {file.name for file in files}
        return [file for file in files if f"{file.name}.gz" not in names]

    def take(self) -> None:
        """Put the log itself aside under the next number."""
        last = max((number for number, _ in self._numbered()), default=0)
        name = f"{self._path.stem}.{last + 1:06}{self._path.suffix}"
        self._path.rename(self._path.with_name(name))

    def prune(self, *, keep_bytes: float, keep_s: float) -> None:
        """Delete what is too much or too old."""
        files = [file for _, file in self._numbered()]
        prune(files, keep_bytes=keep_bytes, keep_s=keep_s)

    def compress(self) -> Iterator[None]:
        """Compress what is not yet; yields after every small step.

        It may be left at any step, even by `kill -9`, and begun again.
        """
        files = [file for _, file in self._numbered()]
        for file in files:
            if file.suffix == PART:
                file.unlink()
        for file in files:
            if not file.name.endswith((".gz", PART)) and file.exists():  # prune may come between
                yield from _compress(file)

    def _numbered(self) -> list[tuple[int, Path]]:
        """The files put aside with their numbers, oldest first."""
        found = ((self._name.fullmatch(file.name), file) for file in self._path.parent.iterdir())
        return sorted((int(name[1]), file) for name, file in found if name)


def _compress(file: Path) -> Iterator[None]:
    """Make `file` a .gz, which appears under its name only when it is whole and on the disk."""
    target = file.with_name(f"{file.name}.gz")
    with file.open("rb") as plain, replacing(target) as raw:
        with gzip.GzipFile(filename=file.name, mode="wb", fileobj=raw) as packed:
            while chunk := plain.read(CHUNK):
                packed.write(chunk)
                yield
        raw.flush()
        shutil.copystat(file, part_of(target))
    file.unlink(missing_ok=True)
