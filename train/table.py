"""Reads FER2013's table, plain or packed."""

from __future__ import annotations

import csv
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from train.dataset import CSV_NAMES, FER2013, LABELS, SIZE_PX, WHERE, WITH_CONTEMPT, Split
from train.errors import DatasetError

PIXELS = SIZE_PX * SIZE_PX
MOST_LEVEL = 255
# The exceptions of the unpackers for a file that is truncated or damaged.
_UNREADABLE = (
    OSError,
    EOFError,
    lzma.LZMAError,
    zlib.error,
    zipfile.BadZipFile,
    tarfile.TarError,
)


def read_table(path: Path, labels: Sequence[str]) -> dict[str, Split]:
    """Return every split of a table. Raises DatasetError with the line that is wrong."""
    try:
        with _open_text(path) as text:
            rows = csv.reader(text)
            header = [name.strip().lower() for name in next(rows, [])]
            columns = [_column(path, header, name) for name in ("emotion", "pixels", "usage")]
            return _collect(path, rows, columns, tuple(labels))
    except (*_UNREADABLE, csv.Error, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); download it again.") from error


@contextmanager
def _open_text(path: Path) -> Iterator[IO[str]]:
    """Open `path` as text, unpacked by its suffix; in an archive, its FER2013 member."""
    raw: IO[bytes] | gzip.GzipFile | None
    with ExitStack() as stack:
        if path.suffix.lower() == ".zip":
            packed = stack.enter_context(zipfile.ZipFile(path))
            raw = packed.open(_member(path, packed.namelist()))
        elif path.name.endswith((".tar.gz", ".tgz")):
            tape = stack.enter_context(tarfile.open(path))
            raw = tape.extractfile(_member(path, tape.getnames()))
        elif path.suffix == ".gz":
            raw = stack.enter_context(gzip.open(path))
        elif path.suffix == ".xz":
            raw = stack.enter_context(lzma.open(path))
        else:
            raw = stack.enter_context(path.open("rb"))
        if raw is None:
            raise DatasetError(f"{path}: has a folder named like a .csv file. {WHERE}.")
        # A spreadsheet that saved the file writes a byte order mark first.
        yield stack.enter_context(io.TextIOWrapper(raw, "utf-8-sig", newline=""))


def _member(path: Path, names: Sequence[str]) -> str:
    """Return FER2013's name in the archive `path`, else that of its first .csv file."""
    tables = [name for name in names if name.endswith(".csv")]
    if not tables:
        raise DatasetError(f"{path}: has neither a .csv file nor class folders. {WHERE}.")
    known = (name for name in tables if name.rpartition("/")[2] in CSV_NAMES)
    return next(known, tables[0])


def _column(path: Path, header: list[str], name: str) -> int:
    if name not in header:
        found = ", ".join(header)[:80] or "an empty line"
        raise DatasetError(f"{path}: has no column {name!r} in line 1 (found: {found}). {WHERE}.")
    return header.index(name)


def _collect(
    path: Path, rows: Iterator[list[str]], columns: list[int], labels: tuple[str, ...]
) -> dict[str, Split]:
    images: dict[str, list[NDArray[np.uint8]]] = {}
    classes: dict[str, list[int]] = {}
    for line, row in enumerate(rows, start=2):
        if not row:
            continue
        try:
            emotion, pixels, usage = (row[c] for c in columns)
            label = int(emotion)
            image = _pixels(pixels)
        except IndexError:
            raise _bad_row(path, line, f"only {len(row)} columns", labels) from None
        except (ValueError, OverflowError) as error:
            raise _bad_row(path, line, str(error), labels) from error
        if image.size != PIXELS or not 0 <= label < len(labels):
            raise _bad_row(path, line, f"{image.size} pixels and emotion {label}", labels)
        images.setdefault(usage.strip(), []).append(image)
        classes.setdefault(usage.strip(), []).append(label)
    dataset = FER2013 if labels in (LABELS, WITH_CONTEMPT) else path.stem
    return {
        name: Split(
            name,
            np.stack(images[name]).reshape(-1, SIZE_PX, SIZE_PX, 1),
            np.array(classes[name], dtype=np.int64),
            labels,
            dataset,
        )
        for name in images
    }


def _pixels(text: str) -> NDArray[np.uint8]:
    """Parse the pixels of a row. Raises ValueError or OverflowError with the reason."""
    try:
        levels = np.fromstring(text, dtype=np.int64, sep=" ")
    except (ValueError, DeprecationWarning):  # which of them depends on NumPy's version
        levels = np.empty(0, np.int64)
    if levels.size == PIXELS and levels.min() >= 0 and levels.max() <= MOST_LEVEL:
        return levels.astype(np.uint8)
    return np.array(text.split(), dtype=np.uint8)  # four times as slow; names the bad number


def _bad_row(path: Path, line: int, what: str, labels: tuple[str, ...]) -> DatasetError:
    return DatasetError(
        f"{path}, line {line}: {what}; expected an emotion from 0 to {len(labels) - 1}, {PIXELS} "
        "pixels (48×48) from 0 to 255 and a usage. Correct the line or download the file again."
    )
