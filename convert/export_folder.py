"""Reads and checks an export folder, which training writes for the conversion."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from numpy.typing import NDArray

from convert.errors import ConvertError

CALIBRATION_FILE = "calibration.npz"
SCHEMA = Path(__file__).parents[1] / "docs" / "model-spec.schema.json"
# For the spec of an external network. The crop is that of FER2013's faces.
DEFAULTS: dict[str, Any] = {
    "schema": 1,
    "version": "1",
    "description": "Names the expression of one aligned gray face",
    "author": "unknown",
    "license": "unknown",
    "crop": {"side": 1.12, "eyes": [0.502, 0.401], "box": [0.5, 0.555]},
}

Pixels = NDArray[np.uint8]  # (height, width, 1), gray 0–255
Images = NDArray[np.uint8]  # (n, height, width, 1), gray 0–255
ClassIds = NDArray[np.int64]  # (n,), positions in the label list


@dataclass(frozen=True, slots=True)
class ExportFolder:
    """The content of `exports/<name>/`; `weights` is only a path."""

    spec: dict[str, Any]
    architecture_json: str
    weights: Path
    calibration: Images
    test_images: Images
    test_classes: ClassIds

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.spec["labels"])

    @property
    def weights_sha256(self) -> str:
        return hashlib.sha256(self.weights.read_bytes()).hexdigest()


def read(folder: Path) -> ExportFolder:
    """Read and check an export folder. Raises ConvertError with the file and what is wrong."""
    if not folder.is_dir():
        raise ConvertError(f"{folder} is not a folder: train and export a network first")
    spec = _read_spec(folder / "spec.json")
    shape = (spec["input"]["height"], spec["input"]["width"], spec["input"]["channels"])
    test_images = _images(folder / "test.npz", shape)
    return ExportFolder(
        spec=spec,
        architecture_json=_text(folder / "model.json"),
        weights=_existing(folder / "model.weights.h5"),
        calibration=_images(folder / CALIBRATION_FILE, shape),
        test_images=test_images,
        test_classes=_classes(folder / "test.npz", len(test_images), len(spec["labels"])),
    )


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise ConvertError(f"{path.parent} lacks {path.name}")
    return path


def _text(path: Path) -> str:
    try:
        return _existing(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConvertError(f"{path} cannot be read: {error}") from error


def _read_spec(path: Path) -> dict[str, Any]:
    """Read the spec, add defaults for keys that external networks may omit, and check it."""
    try:
        spec = json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise ConvertError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(spec, dict):
        raise ConvertError(f"{path} must contain a JSON object")
    for key, value in DEFAULTS.items():
        if key not in spec:
            spec[key] = value
            print(f"{path} has no {key!r}: using {json.dumps(value)}.")
    _check_spec(path, spec)
    return spec


def _check_spec(path: Path, spec: dict[str, Any]) -> None:
    """Raise ConvertError if the daemon would not run a model with this spec."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    error = best_match(Draft202012Validator(schema).iter_errors(spec))
    if error is not None:
        where = error.json_path.removeprefix("$").lstrip(".") or "the object"
        raise ConvertError(
            f"{path}: {where}: {error.message}; see {SCHEMA.relative_to(SCHEMA.parents[1])}"
        )
    size = spec["input"]
    if size["height"] != size["width"]:
        raise ConvertError(
            f"{path}: input: {size['width']}×{size['height']} pixels; the daemon cuts out square "
            "faces, so width and height must be equal"
        )


def _array(path: Path, key: str) -> NDArray[Any]:
    try:
        with np.load(_existing(path), allow_pickle=False) as arrays:
            array: NDArray[Any] = arrays[key]
    except KeyError as error:
        raise ConvertError(f"{path} lacks the array {key!r}") from error
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise ConvertError(f"{path} is not a readable .npz file: {error}") from error
    return array


def _images(path: Path, shape: tuple[int, int, int]) -> Images:
    images = _array(path, "x")
    if images.dtype != np.uint8 or images.shape[1:] != shape or not len(images):
        wanted = "×".join(str(size) for size in shape)
        raise ConvertError(
            f"{path}: 'x' must be uint8 images of {wanted}, found {images.dtype} {images.shape}"
        )
    return images


def _classes(path: Path, samples: int, classes: int) -> ClassIds:
    ids = _array(path, "y")
    if ids.shape != (samples,) or not np.issubdtype(ids.dtype, np.integer):
        raise ConvertError(f"{path}: 'y' must be {samples} class numbers, one for each image")
    if ids.min() < 0 or ids.max() >= classes:
        raise ConvertError(f"{path}: 'y' must lie within 0–{classes - 1}, one class for each label")
    return ids.astype(np.int64)
