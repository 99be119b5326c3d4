"""Reads the `spec.json` of an export folder or inside a `.tflite` file."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from train.errors import ModelFileError

Spec = dict[str, Any]


def labels_of(path: Path) -> tuple[str, ...]:
    """Return the classes of an export or a `.tflite` file, in order. Raises ModelFileError."""
    return tuple(read_spec(path)["labels"])


def read_spec(path: Path) -> Spec:
    """Return the spec of an export folder or a `.tflite` file; it has labels.

    Raises ModelFileError if `path` is neither.
    """
    try:
        if path.is_dir():
            spec = json.loads((path / "spec.json").read_text(encoding="utf-8"))
        else:
            with zipfile.ZipFile(path) as archive:
                spec = json.loads(archive.read("spec.json"))
        return {**spec, "labels": [str(label) for label in spec["labels"]]}
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise refusal(path, error) from error


def refusal(path: Path, error: Exception) -> ModelFileError:
    """Return the error for a network that cannot be read."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    reason = reason.strip().partition("\n")[0]
    if path.is_dir():
        return ModelFileError(f"{path}: not a complete export ({reason}); `make train` writes one.")
    return ModelFileError(
        f"{path}: neither an export folder nor one of Mien's TFLite files ({reason}); `make train` "
        "and `make convert` write them."
    )
