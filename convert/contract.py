"""Makes the contents of a model file: `spec.json`, labels, TFLite Metadata and golden answers.

With `goldens.npz` a device checks that its runtime reproduces the model's answers. The file has
two arrays: `faces`, uint8 (n, height, width, 1), are drawn by code; `scores`, float32 (n, classes),
were computed by LiteRT on the machine that converted the model.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert import candidate, metadata
from convert.export_folder import ExportFolder, Images
from convert.variants import Variant

LABELS_FILE = "labels.txt"
SPEC_FILE = "spec.json"
GOLDENS_FILE = "goldens.npz"

_FACES_EACH = 2
_SEED = 7
_STEEPNESS = 12.0  # of the edge of a shape; a shape is about 1 at its center

Plane = NDArray[np.float64]  # (height, width)
Pair = tuple[float, float]  # x, y


def spec(
    export: ExportFolder, variant: Variant, calibration_samples: int, versions: dict[str, str]
) -> dict[str, Any]:
    """Return the export's spec with the conversion's keys; `versions` maps packages to versions."""
    samples = {"calibration_samples": calibration_samples} if variant.calibrated else {}
    return export.spec | {
        "weights_sha256": export.weights_sha256,
        "quantization": variant.scheme | samples,
        "converter": {name: versions[name] for name in ("tensorflow", "keras")},
    }


def notes(spec: dict[str, Any]) -> metadata.Metadata:
    """Return the standard metadata of a model with this spec."""
    size = (spec["input"]["width"], spec["input"]["height"])
    labels = metadata.AssociatedFile(
        LABELS_FILE, "One class name for each output, in order.", metadata.TENSOR_AXIS_LABELS
    )
    return metadata.Metadata(
        name=spec["name"],
        description=spec["description"],
        version=spec["version"],
        author=spec["author"],
        license=spec["license"],
        inputs=(
            metadata.TensorNote(
                "face",
                f"A gray face of {size[0]} × {size[1]} pixels, raw values 0–255.",
                gray_size=size,
            ),
        ),
        outputs=(
            metadata.TensorNote("probability", "The probability of each class.", files=(labels,)),
        ),
        files=(
            metadata.AssociatedFile(SPEC_FILE, "Labels, crop, data set, training, figures."),
            metadata.AssociatedFile(GOLDENS_FILE, "Drawn faces and this model's answers to them."),
        ),
    )


def files(spec: dict[str, Any], golden_answers: bytes) -> dict[str, bytes]:
    """Return the contents of the files inside the model, by name."""
    labels = "".join(f"{label}\n" for label in spec["labels"])
    text = json.dumps(spec, indent=2, ensure_ascii=False) + "\n"
    return {LABELS_FILE: labels.encode(), SPEC_FILE: text.encode(), GOLDENS_FILE: golden_answers}


def goldens(model: bytes, height: int, width: int) -> bytes:
    """Return the `goldens.npz` of a model; equal models give equal bytes: NumPy dates all 1980."""
    faces = drawn_faces(height, width)
    stream = io.BytesIO()
    np.savez_compressed(stream, faces=faces, scores=candidate.probabilities(model, faces))
    return stream.getvalue()


@dataclass(frozen=True, slots=True)
class Features:
    """The features of a drawn face, in fractions of its size."""

    brow_tilt: float = 0.0  # the inner end below the outer one
    brow_lift: float = 0.0
    eye_height: float = 0.035
    mouth_curve: float = 0.0  # the corners above the middle
    mouth_open: float = 0.02
    mouth_width: float = 0.15


_EXPRESSIONS = (
    Features(brow_tilt=0.4, eye_height=0.025, mouth_curve=-0.04),  # angry
    Features(brow_tilt=0.2, eye_height=0.02, mouth_curve=-0.06, mouth_open=0.05),  # disgust
    Features(brow_tilt=-0.4, brow_lift=0.04, eye_height=0.06, mouth_open=0.06),  # fear
    Features(eye_height=0.025, mouth_curve=0.09, mouth_open=0.06, mouth_width=0.2),  # happy
    Features(brow_tilt=-0.5, eye_height=0.025, mouth_curve=-0.07),  # sad
    Features(brow_lift=0.07, eye_height=0.065, mouth_open=0.14, mouth_width=0.1),  # surprise
    Features(),  # neutral
)


def drawn_faces(height: int, width: int) -> Images:
    """Draw the same two faces of each expression each time: (14, height, width, 1), gray 0–255."""
    rng = np.random.default_rng(_SEED)
    drawn = [_face(each, height, width, rng) for each in _EXPRESSIONS for _ in range(_FACES_EACH)]
    return np.stack(drawn)[..., np.newaxis]


def _face(
    features: Features, height: int, width: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    y, x = (np.indices((height, width)) + 0.5) / np.array([height, width]).reshape(2, 1, 1)
    x, y = x + rng.uniform(-0.04, 0.04), y + rng.uniform(-0.04, 0.04)
    gray = 40 + 60 * rng.uniform() + 30 * x
    gray = _painted(
        gray, _ellipse(x, y, (0.5, 0.5), (0.38, 0.48)), 150 + 30 * rng.uniform() + 20 * y
    )
    for side in (-1, 1):
        center = 0.5 + 0.17 * side
        gray = _painted(gray, _ellipse(x, y, (center, 0.42), (0.07, features.eye_height)), 45)
        slope = features.brow_tilt * side * (center - x)
        brow = _ellipse(x, y - slope, (center, 0.31 - features.brow_lift), (0.1, 0.022))
        gray = _painted(gray, brow, 60)
    gray = _painted(gray, _ellipse(x, y, (0.5, 0.58), (0.03, 0.07)), 125)
    bend = features.mouth_curve * (1 - 2 * ((x - 0.5) / features.mouth_width) ** 2)
    opening = 0.015 + features.mouth_open / 2
    mouth = _ellipse(x, y - bend, (0.5, 0.76), (features.mouth_width, opening))
    gray = _painted(gray, mouth, 70)
    noisy = gray * rng.uniform(0.7, 1.1) + rng.normal(0, 4, gray.shape)
    return noisy.round().clip(0, 255).astype(np.uint8)


def _ellipse(x: Plane, y: Plane, center: Pair, half: Pair) -> Plane:
    """Return the share of each pixel, 0 to 1, that an ellipse covers; `half` are its half axes."""
    radius = np.hypot((x - center[0]) / half[0], (y - center[1]) / half[1])
    cover: Plane = ((1 - radius) * _STEEPNESS * min(1.0, 4 * half[1]) + 0.5).clip(0, 1)
    return cover


def _painted(gray: Plane, cover: Plane, value: Plane | float) -> Plane:
    return gray * (1 - cover) + value * cover
