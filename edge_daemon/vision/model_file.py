"""Reads the contract inside a model file: labels, input size, crop and golden answers.

The associated files of a TFLite model are a zip archive at the end of the file
(https://ai.google.dev/edge/litert/conversion/tensorflow/metadata).
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_daemon.core.files import read_file
from edge_daemon.core.types import UNCERTAIN, Point
from edge_daemon.vision import goldens
from edge_daemon.vision.goldens import Goldens, GoldensDamaged
from edge_daemon.vision.interpreter import MAX_MODEL_BYTES, ModelError

SCHEMA = 1
MAX_SPEC_BYTES = 100_000
MAX_GOLDENS_BYTES = 20_000_000
MAX_LABELS = 100
MAX_NAME_LETTERS = 100
SIZES_PX = range(8, 513)  # of the network's input
MAX_CROP_SIDE = 10.0


@dataclass(frozen=True, slots=True)
class Crop:
    """The geometry with which faces are cut out, the same as in training.

    `side` is the crop's side as a multiple of the face box's longer side. `eyes` is the place of
    the midpoint between the eyes in the crop. `box` is the place of the box's center, used if no
    eyes are known. Both are fractions of the crop.
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
    """Read `path` and its embedded `spec.json`. Raises ModelError if either cannot be used."""
    try:
        content = read_file(path, max_bytes=MAX_MODEL_BYTES)
    except OSError as error:
        raise ModelError(
            f"{path}: the model cannot be read: {error.strerror}; "
            "set `model:` in the configuration, or make one with `make convert`."
        ) from error
    return parse_model(path, content)


def parse_model(path: Path, content: bytes) -> ModelFile:
    """Parse the content of a model file. Raises ModelError, which names `path`."""
    if content[4:8] != b"TFL3":
        raise ModelError(f"{path}: is not a TFLite model.")
    spec = _read_spec(path, content)
    try:
        return _model_file(path, content, spec)
    except GoldensDamaged as error:
        raise ModelError(
            f"{path}: its {goldens.FILE} is damaged ({error}); convert it again."
        ) from error
    except KeyError as error:
        raise ModelError(f"{path}: its spec.json has no {error}; convert it again.") from error
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"{path}: its spec.json cannot be used ({error}); convert it again."
        ) from error


def _read_spec(path: Path, content: bytes) -> dict[str, Any]:
    try:
        spec = json.loads(_associated_file(content, "spec.json", MAX_SPEC_BYTES))
    except (zipfile.BadZipFile, KeyError, ValueError, RecursionError) as error:
        raise ModelError(
            f"{path}: carries no spec.json, so its labels are unknown; "
            "convert it with `make convert`."
        ) from error
    if not isinstance(spec, dict) or spec.get("schema") != SCHEMA:
        raise ModelError(f"{path}: its spec.json is not of schema {SCHEMA}; convert it again.")
    return spec


def _associated_file(content: bytes, name: str, max_bytes: int) -> bytes:
    """Return the associated file `name`. Raises KeyError if absent, BadZipFile if damaged."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive, archive.open(name) as file:
            found = file.read(max_bytes + 1)
    except (OSError, EOFError, RuntimeError, NotImplementedError, ValueError, zlib.error) as error:
        raise zipfile.BadZipFile(str(error)) from error  # damaged, encrypted, unknown compression
    if len(found) > max_bytes:
        raise zipfile.BadZipFile(f"{name} is larger than {max_bytes:,} bytes")
    return found


def _model_file(path: Path, content: bytes, spec: dict[str, Any]) -> ModelFile:
    crop, size_px, labels = spec["crop"], spec["input"]["width"], spec["labels"]
    if type(size_px) is not int or size_px not in SIZES_PX:
        raise ValueError(f"width is {size_px!r:.50}, not {SIZES_PX.start} to {SIZES_PX.stop - 1}")
    if not isinstance(labels, list) or not 2 <= len(labels) <= MAX_LABELS:
        raise ValueError(f"there are not 2 to {MAX_LABELS} labels")
    if len(set(map(str, labels))) < len(labels) or UNCERTAIN in labels:
        raise ValueError(f"labels are repeated, or one is {UNCERTAIN!r}")
    side = _number(crop["side"], "side", 0.01, MAX_CROP_SIDE)
    return ModelFile(
        path=path,
        content=content,
        sha256=hashlib.sha256(content).hexdigest(),
        name=_text(spec["name"], "the name"),
        labels=tuple(_text(label, "a label") for label in labels),
        size_px=size_px,
        crop=Crop(side, _point(crop["eyes"], "eyes"), _point(crop["box"], "box")),
        goldens=_read_goldens(content, size_px, len(labels)),
    )


def _text(value: object, what: str) -> str:
    """Return `value` if it is a short line of text that any log and page can show."""
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_NAME_LETTERS:
        raise ValueError(f"{what} is not a text of 1 to {MAX_NAME_LETTERS} letters")
    if not value.isprintable():  # which also excludes surrogates
        raise ValueError(f"{what} has characters that cannot be shown: {value!a}")
    return value


def _number(value: object, what: str, least: float, most: float) -> float:
    """Return `value` if it is a number in the range, which excludes NaN and infinity."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise ValueError(f"{what} is {value!r:.50}, not {least:g} to {most:g}")
    return float(value)


def _read_goldens(content: bytes, size_px: int, classes: int) -> Goldens | None:
    try:
        stored = _associated_file(content, goldens.FILE, MAX_GOLDENS_BYTES)
    except KeyError:
        return None
    except zipfile.BadZipFile as error:
        raise GoldensDamaged(str(error)) from error
    return goldens.read_goldens(stored, size_px, classes)


def _point(pair: list[object], what: str) -> Point:
    """Return a position in the crop, or close to it."""
    x, y = pair
    return Point(_number(x, what, -1, 2), _number(y, what, -1, 2))
