"""A trained network from where it lies, an export or a TFLite file: faces in, probabilities out."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from train.dataset import LABELS
from train.errors import ModelFileError

BATCH = 256

Faces = NDArray[np.uint8]  # (n, 48, 48, 1)
Probabilities = NDArray[np.float32]  # (n, 7), in the order of LABELS
Classify = Callable[[Faces], Probabilities]


@dataclass(frozen=True, slots=True)
class Trained:
    """A network read from `path`: what it answers and what its `spec.json` says.

    `content` is the TFLite file, or the weights of an export.
    """

    path: Path
    content: bytes
    classify: Classify
    spec: dict[str, Any]
    runtime: str

    @property
    def temperature(self) -> float:
        """What its logits were divided by before it was exported; 1 where the spec says nothing."""
        return float(self.spec.get("metrics", {}).get("temperature", 1.0))

    def facts(self) -> dict[str, Any]:
        """The file that was looked at, for the report."""
        return {
            "file": self.path.name,
            "bytes": len(self.content),
            "sha256": hashlib.sha256(self.content).hexdigest(),
            "runtime": self.runtime,
        }


def read_trained(path: Path) -> Trained:
    """An export folder or a `.tflite` file; raises ModelFileError with what is wrong."""
    return _read_export(path) if path.is_dir() else _read_tflite(path)


def keras_classifier(network: keras.Model) -> Classify:
    """`network` on uint8 faces, in batches; `predict` would take twice as long for its pipeline."""

    def classify(x: Faces) -> Probabilities:
        starts = range(0, len(x), BATCH)
        return np.concatenate([network.predict_on_batch(x[i : i + BATCH]) for i in starts])

    return classify


def _read_export(folder: Path) -> Trained:
    weights = folder / "model.weights.h5"
    try:
        network = keras.models.model_from_json((folder / "model.json").read_text())
        network.load_weights(weights)
        spec = _checked(json.loads((folder / "spec.json").read_text()))
        content = weights.read_bytes()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFileError(
            f"{folder}: not a whole export ({_first_line(error)}); `make train` writes one."
        ) from error
    runtime = f"keras {keras.__version__} on {keras.backend.backend()}"
    return Trained(weights, content, keras_classifier(network), spec, runtime)


def _read_tflite(path: Path) -> Trained:
    # Only this needs the runtime, which imports in a moment where Keras takes seconds.
    from train import tflite  # noqa: PLC0415

    try:
        content = path.read_bytes()
        classify = tflite.classifier(content)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            spec = _checked(json.loads(archive.read("spec.json")))
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ModelFileError(
            f"{path}: neither an export folder nor one of Mien's TFLite files "
            f"({_first_line(error)}); `make train` and `make convert` write them."
        ) from error
    return Trained(path, content, classify, spec, tflite.RUNTIME)


def _checked(spec: dict[str, Any]) -> dict[str, Any]:
    if spec["labels"] != list(LABELS):
        raise ValueError(f"its labels are {spec['labels']}")
    return spec


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
