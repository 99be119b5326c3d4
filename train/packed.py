"""Opens datasets that are packed in archives."""

from __future__ import annotations

import bz2
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

from train.dataset import CSV_NAMES, TAPES, UNKNOWN, WHERE
from train.errors import DatasetError

# The exceptions of the unpackers for a file that is truncated, damaged or packed in an unknown way.
UNREADABLE = (
    OSError,
    EOFError,
    lzma.LZMAError,
    zlib.error,
    zipfile.BadZipFile,
    tarfile.TarError,
    NotImplementedError,
)
_ENCRYPTED = 0x1  # flag of a member of a zip archive


@contextmanager
def open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive. Raises one of UNREADABLE, and DatasetError if it needs a password."""
    with zipfile.ZipFile(path) as archive:
        if any(member.flag_bits & _ENCRYPTED for member in archive.infolist()):
            raise DatasetError(f"{path}: needs a password; unpack it, and name the folder instead.")
        yield archive


@contextmanager
def open_table(path: Path) -> Iterator[IO[str]]:
    """Open a table as text, unpacked by its suffix; of an archive FER2013's member.

    Raises one of UNREADABLE, or DatasetError.
    """
    name = path.name.lower()
    raw: IO[bytes] | gzip.GzipFile | bz2.BZ2File | None
    with ExitStack() as stack:
        if name.endswith(UNKNOWN):
            raise DatasetError(f"{path}: cannot be unpacked here; unpack it, and name the folder.")
        if name.endswith(".zip"):
            packed = stack.enter_context(open_zip(path))
            raw = packed.open(_member(path, packed.namelist()))
        elif name.endswith(TAPES):
            tape = stack.enter_context(tarfile.open(path))
            raw = tape.extractfile(_member(path, tape.getnames()))
        elif name.endswith(".gz"):
            raw = stack.enter_context(gzip.open(path))
        elif name.endswith(".xz"):
            raw = stack.enter_context(lzma.open(path))
        elif name.endswith(".bz2"):
            raw = stack.enter_context(bz2.open(path))
        else:
            raw = stack.enter_context(path.open("rb"))
        if raw is None:
            raise DatasetError(f"{path}: has a folder named like a .csv file. {WHERE}.")
        # A spreadsheet that saved the file writes a byte order mark first.
        yield stack.enter_context(io.TextIOWrapper(raw, "utf-8-sig", newline=""))


def _member(path: Path, names: Sequence[str]) -> str:
    """Return FER2013's name in the archive `path`, else that of its only .csv file."""
    tables = [name for name in names if name.lower().endswith(".csv")]
    if not tables:
        if path.suffix.lower() != ".zip":
            raise DatasetError(f"{path}: has no .csv file; if class folders are in it, unpack it.")
        raise DatasetError(f"{path}: has neither a .csv file nor class folders. {WHERE}.")
    known = [name for name in tables if name.rpartition("/")[2].lower() in CSV_NAMES]
    if not known and len(tables) > 1:
        some = ", ".join(tables[:5])
        raise DatasetError(f"{path}: has several tables ({some}); unpack it, and name one of them.")
    return (known or tables)[0]
