"""The whole conversion, in order: read, rebuild, quantise, seal, verify, report, write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from convert import (
    candidate,
    container,
    export_folder,
    metadata,
    network,
    outputs,
    quantize,
    report,
    verify,
)

LABELS_FILE = "labels.txt"
SPEC_FILE = "spec.json"


def convert(folder: Path, target: Path, command: str) -> None:
    """Turn an export folder into `target` and its two reports, telling the steps on stdout.

    `command` is quoted in the report. On a `ConvertError` nothing of `target` has changed.
    """
    outputs.check_writable(target)
    export = export_folder.read(folder)
    print(f"Read {folder}: {len(export.calibration)} calibration images.", flush=True)
    keras_model = network.load(export)
    print(f"Quantising {keras_model.count_params()} parameters to int8 …", flush=True)
    model = quantize.to_int8(keras_model, export.calibration)
    spec = embedded_spec(export)
    content = container.seal(model, notes(spec), files(spec))
    print(f"Comparing with Keras on {len(export.test_images)} test images …", flush=True)
    comparison = verify.compare(
        network.probabilities(keras_model, export.test_images),
        candidate.probabilities(content, export.test_images),
        export.test_classes,
        export.labels,
    )
    record = report.build(spec, target.name, content, comparison, command)
    outputs.write_all(
        {
            target.with_suffix(".report.json"): _json(record),
            target.with_suffix(".report.md"): report.to_markdown(record, comparison).encode(),
            target: content,
        }
    )
    print(summary(target, len(content), comparison))


def embedded_spec(export: export_folder.ExportFolder) -> dict[str, Any]:
    """Training's spec with what conversion adds to it."""
    made_with = report.versions()
    return export.spec | {
        "weights_sha256": export.weights_sha256,
        "quantization": quantize.SCHEME | {"calibration_samples": len(export.calibration)},
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
        files=(metadata.AssociatedFile(SPEC_FILE, "Labels, crop, data set, training, figures."),),
    )


def files(spec: dict[str, Any]) -> dict[str, bytes]:
    """The files that travel inside the model."""
    labels = "".join(f"{label}\n" for label in spec["labels"])
    return {LABELS_FILE: labels.encode(), SPEC_FILE: _json(spec)}


def summary(target: Path, size: int, comparison: verify.Comparison) -> str:
    """One line on a conversion that went well."""
    return (
        f"Wrote {target}: {size} bytes, accuracy {100 * comparison.keras.accuracy:.2f} % (Keras) "
        f"→ {100 * comparison.int8.accuracy:.2f} % (int8), "
        f"agreement {100 * comparison.agreement:.2f} %, mean KL {comparison.mean_kl:.4f}."
    )


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
