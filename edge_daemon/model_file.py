"""The contract inside a model file: `.tflite` in, labels, input size and crop out.

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

from edge_daemon.interpreter import ModelError
from edge_daemon.types import Point

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Crop:
    """How a face is cut out for the network, as the faces it was trained on were.

    `side` is the crop's side in sides of the detector's face box; `eyes` is where the middle
    between the eyes goes, and `box` where the centre of the box goes if no eyes are known, both
    in fractions of the crop.
    """

    side: float
    eyes: Point
    box: Point


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model's bytes and what its embedded `spec.json` says."""

    path: Path
    content: bytes
    sha256: str
    name: str
    labels: tuple[str, ...]
    size_px: int
    crop: Crop


def read_model_file(path: Path) -> ModelFile:
    """Read `path` and its embedded `spec.json`; raises ModelError with what is wrong."""
    try:
        content = path.read_bytes()
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
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path}: its spec.json is not complete ({error}); convert it again."
        ) from error


def _read_spec(path: Path, content: bytes) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            spec = json.loads(archive.read("spec.json"))
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise ModelError(
            f"{path}: carries no spec.json, so its labels are unknown; "
            "convert it with `make convert`."
        ) from error
    if not isinstance(spec, dict) or spec.get("schema") != SCHEMA:
        raise ModelError(f"{path}: its spec.json is not of schema {SCHEMA}; convert it again.")
    return spec


def _model_file(path: Path, content: bytes, spec: dict[str, Any]) -> ModelFile:
    crop = spec["crop"]
    return ModelFile(
        path=path,
        content=content,
        sha256=hashlib.sha256(content).hexdigest(),
        name=str(spec["name"]),
        labels=tuple(str(label) for label in spec["labels"]),
        size_px=int(spec["input"]["width"]),
        crop=Crop(float(crop["side"]), _point(crop["eyes"]), _point(crop["box"])),
    )


def _point(pair: list[float]) -> Point:
    x, y = pair
    return Point(float(x), float(y))
