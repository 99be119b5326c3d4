"""An export in, what a model file says of itself out: `spec.json`, labels and TFLite Metadata."""

from __future__ import annotations

import json
from typing import Any

from convert import goldens, metadata, versions
from convert.export_folder import ExportFolder
from convert.variants import Variant

LABELS_FILE = "labels.txt"
SPEC_FILE = "spec.json"


def spec(export: ExportFolder, variant: Variant, calibration_samples: int) -> dict[str, Any]:
    """Training's spec with what conversion adds to it."""
    samples = {"calibration_samples": calibration_samples} if variant.calibrated else {}
    made_with = versions.installed()
    return export.spec | {
        "weights_sha256": export.weights_sha256,
        "quantization": variant.scheme | samples,
        "converter": {name: made_with[name] for name in ("tensorflow", "keras")},
    }


def notes(spec: dict[str, Any]) -> metadata.Metadata:
    """The standard metadata of a model with this spec."""
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
            metadata.AssociatedFile(goldens.FILE, "Drawn faces and this model's answers to them."),
        ),
    )


def files(spec: dict[str, Any], golden_answers: bytes) -> dict[str, bytes]:
    """The files that travel inside the model."""
    labels = "".join(f"{label}\n" for label in spec["labels"])
    text = json.dumps(spec, indent=2, ensure_ascii=False) + "\n"
    return {LABELS_FILE: labels.encode(), SPEC_FILE: text.encode(), goldens.FILE: golden_answers}
