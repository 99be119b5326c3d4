"""An export folder in, its checked contents out: what training hands over for conversion."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.errors import ConvertError

CALIBRATION_FILE = "calibration.npz"

Images = NDArray[np.uint8]  # (n, height, width, 1), gray pixels 0–255
ClassIds = NDArray[np.int64]  # (n,), positions in the label list


@dataclass(frozen=True, slots=True)
class ExportFolder:
    """What `exports/<name>/` holds; the weights stay on disk, only their path is here."""

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
    """Read and check an export folder; `ConvertError` names the file and what is wrong with it."""
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
    """The spec as written; only the fields that conversion itself needs are checked."""
    try:
        spec = json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise ConvertError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(spec, dict):
        raise ConvertError(f"{path} must hold a JSON object")
    for key in ("name", "version", "description", "author", "license"):
        if not isinstance(spec.get(key), str):
            raise ConvertError(f"{path}: {key!r} must be a string")
    _check_labels(path, spec.get("labels"))
    _check_input(path, spec.get("input"))
    return spec


def _check_labels(path: Path, labels: object) -> None:
    usable = (
        isinstance(labels, list)
        and all(isinstance(label, str) and label.split() == [label] for label in labels)
        and len(set(labels)) == len(labels) >= 2
    )
    if not usable:
        raise ConvertError(f"{path}: 'labels' must be two or more different words")


def _check_input(path: Path, shape: object) -> None:
    sizes = (
        [shape.get(k) for k in ("height", "width", "channels")] if isinstance(shape, dict) else []
    )
    if not sizes or not all(isinstance(size, int) and size > 0 for size in sizes) or sizes[2] != 1:
        raise ConvertError(f"{path}: 'input' must give a height, a width and 1 channel in pixels")


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
