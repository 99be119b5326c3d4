"""Replaces files atomically."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

PART: Final = ".part"  # ends the name of a file that is not complete yet


@contextmanager
def replacing(path: Path, *, mode: int = 0o666, sync: bool = True) -> Iterator[BinaryIO]:
    """Open a new file that takes the place of `path` when the block ends without an exception.

    A reader of `path` sees the old content or all of the new, even after `kill -9`, and with
    `sync` even after a power cut. Until then the new file is `path` with PART appended; its
    permissions are `mode` less the umask. Raises OSError.
    """
    part = part_of(path)
    try:
        with open(part, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            yield file
            if sync:
                file.flush()
                os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def replace_file(path: Path, content: bytes, *, mode: int = 0o666, sync: bool = True) -> None:
    """Make `content` the content of `path`, as `replacing` does. Raises OSError."""
    with replacing(path, mode=mode, sync=sync) as file:
        file.write(content)


def part_of(path: Path) -> Path:
    """The name of the file that `replacing` writes before it takes the place of `path`."""
    return path.with_name(f"{path.name}{PART}")
