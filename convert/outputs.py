"""Writes output files so that each holds either its old or its new content, never a part."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from convert.errors import ConvertError


def check_writable(target: Path) -> None:
    """Make the folder and try to write a file there. Raises ConvertError if that fails."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise ConvertError(
            f"{target} cannot be written ({error.strerror}); choose another --output"
        ) from error
    if target.is_dir():
        raise ConvertError(f"{target} is a folder, not a file; choose another --output")


def write_all(files: Mapping[Path, bytes]) -> None:
    """Write every file under a temporary name, then rename them all. Raises ConvertError."""
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
    """Return where a refused candidate is kept for study; nothing loads a file of that name."""
    return target.with_name(f"{target.name}.rejected")


def previous_path(target: Path) -> Path:
    """Return where a model that is replaced by one with other weights is kept."""
    return target.with_suffix(".previous.tflite")


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
