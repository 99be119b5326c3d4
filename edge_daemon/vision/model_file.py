"""Reads the contract inside a model file: labels, input size, crop and golden answers.

The associated files of a TFLite model are a zip archive at the end of the file
(https://ai.google.dev/edge/litert/conversion/tensorflow/metadata).
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_daemon.core.files import read_file
from edge_daemon.core.types import Point
from edge_daemon.vision import goldens
from edge_daemon.vision.goldens import Goldens, GoldensDamaged
from edge_daemon.vision.interpreter import MAX_MODEL_BYTES, ModelError

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Crop:
    """How a face is cut out for the network; matches the faces it was trained on.

    `side` is the crop's side as a multiple of the face box's longer side. `eyes` is where the
    midpoint between the eyes goes and `box` where the center of the box goes if no eyes are known,
    both as fractions of the crop.
    """

    side: float
    eyes: Point
    box: Point


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model's bytes, its embedded `spec.json`, and its golden answers if it has any."""

    path: Path
    content: bytes
    sha256: str
    name: str
    labels: tuple[str, ...]
    size_px: int
    crop: Crop
    goldens: Goldens | None


def read_model_file(path: Path) -> ModelFile:
    """Read `path` and its embedded `spec.json`; raises ModelError if either is unusable."""
    try:
        content = read_file(path, max_bytes=MAX_MODEL_BYTES)
    except OSError as error:
        raise ModelError(
            f"{path}: the model cannot be read: {error.strerror}; "
            "set `model:` in the configuration, or make one with `make convert`."
        ) from error
    if content[4:8] != b"TFL3":
        raise ModelError(f"{path}: is not a TFLite model.")
    spec = _read_spec(path, content)
    try:
        return _model_file(path, content, spec)
    except GoldensDamaged as error:
        raise ModelError(
            f"{path}: its {goldens.FILE} is damaged ({error}); convert it again."
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path}: its spec.json is not complete ({error}); convert it again."
        ) from error


def _read_spec(path: Path, content: bytes) -> dict[str, Any]:
    try:
        spec = json.loads(_associated_file(content, "spec.json"))
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise ModelError(
            f"{path}: carries no spec.json, so its labels are unknown; "
            "convert it with `make convert`."
        ) from error
    if not isinstance(spec, dict) or spec.get("schema") != SCHEMA:
        raise ModelError(f"{path}: its spec.json is not of schema {SCHEMA}; convert it again.")
    return spec


def _associated_file(content: bytes, name: str) -> bytes:
    """Return the associated file `name`; raises KeyError if absent, BadZipFile if damaged."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(name)


def _model_file(path: Path, content: bytes, spec: dict[str, Any]) -> ModelFile:
    crop, size_px, labels = spec["crop"], int(spec["input"]["width"]), spec["labels"]
    return ModelFile(
        path=path,
        content=content,
        sha256=hashlib.sha256(content).hexdigest(),
        name=str(spec["name"]),
        labels=tuple(str(label) for label in labels),
        size_px=size_px,
        crop=Crop(float(crop["side"]), _point(crop["eyes"]), _point(crop["box"])),
        goldens=_read_goldens(content, size_px, len(labels)),
    )


def _read_goldens(content: bytes, size_px: int, classes: int) -> Goldens | None:
    try:
        stored = _associated_file(content, goldens.FILE)
    except KeyError:
        return None
    except zipfile.BadZipFile as error:
        raise GoldensDamaged(str(error)) from error
    return goldens.read_goldens(stored, size_px, classes)


def _point(pair: list[float]) -> Point:
    x, y = pair
    return Point(float(x), float(y))
