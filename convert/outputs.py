"""Finished files in, the same files on disk out: each either wholly the old or wholly the new."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from convert.errors import ConvertError


def check_writable(target: Path) -> None:
    """Make the folder and try a file in it, so that a long conversion is not lost at its end."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise ConvertError(f"{target} cannot be written: {error.strerror}") from error
    if target.is_dir():
        raise ConvertError(f"{target} is a folder, not a file to write")


def write_all(files: Mapping[Path, bytes]) -> None:
    """Write every file beside its place, then rename them all; `ConvertError` if one fails."""
    parts = {target: target.with_name(f".{target.name}.{os.getpid()}") for target in files}
    try:
        for target, content in files.items():
            _write_synced(parts[target], content)
        for target, part in parts.items():
            part.replace(target)
    except OSError as error:
        raise ConvertError(f"{error.filename} cannot be written: {error.strerror}") from error
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def rejected_path(target: Path) -> Path:
    """Where a refused candidate is kept for study; nothing loads a file of that name."""
    return target.with_name(f"{target.name}.rejected")


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
