"""Loads a trained network from an export folder or a TFLite file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from train import tflite
from train.errors import ModelFileError
from train.scores import Classify, Faces, Probabilities
from train.spec_file import Spec, read_spec, refusal

BATCH = 256


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A network read from `path`, with its `spec.json`.

    `content` is the TFLite file, or the weights file of an export; `network` is the Keras network
    of an export.
    """

    path: Path
    content: bytes
    classify: Classify
    spec: dict[str, Any]
    runtime: str
    network: keras.Model | None = None

    @property
    def temperature(self) -> float:
        """The temperature by which the logits were divided before the export; 1 without one."""
        return float(self.spec.get("metrics", {}).get("temperature", 1.0))

    @property
    def annotations(self) -> str:
        """The set of labels that the network learned; "" for the dataset's own."""
        return str(self.spec.get("dataset", {}).get("annotations", ""))

    def facts(self) -> dict[str, Any]:
        """Return name, size, checksum and runtime of the file, for the report."""
        return {
            "file": self.path.name,
            "bytes": len(self.content),
            "sha256": hashlib.sha256(self.content).hexdigest(),
            "runtime": self.runtime,
        }


def load_model(path: Path, labels: Sequence[str]) -> LoadedModel:
    """Load an export folder or a `.tflite` file, which must be for the classes `labels`.

    Raises ModelFileError.
    """
    spec = read_spec(path)
    if spec["labels"] != list(labels):
        raise ModelFileError(
            f"{path}: its labels are {', '.join(spec['labels'])}, not {', '.join(labels)}; name a "
            "network for these classes, or its own with --labels."
        )
    return _load_export(path, spec) if path.is_dir() else _load_tflite(path, spec)


def keras_classifier(network: keras.Model) -> Classify:
    """Return a function that classifies in batches; Keras' `predict` would take twice as long."""

    def classify(x: Faces) -> Probabilities:
        starts = range(0, len(x), BATCH)
        return np.concatenate([network.predict_on_batch(x[i : i + BATCH]) for i in starts])

    return classify


def _load_export(folder: Path, spec: Spec) -> LoadedModel:
    weights = folder / "model.weights.h5"
    try:
        network = keras.models.model_from_json((folder / "model.json").read_text())
        network.load_weights(weights)
        content = weights.read_bytes()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise refusal(folder, error) from error
    runtime = f"keras {keras.__version__} on {keras.backend.backend()}"
    return LoadedModel(weights, content, keras_classifier(network), spec, runtime, network)


def _load_tflite(path: Path, spec: Spec) -> LoadedModel:
    try:
        content = path.read_bytes()
        classify = tflite.classifier(content, len(spec["labels"]))
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise refusal(path, error) from error
    return LoadedModel(path, content, classify, spec, tflite.RUNTIME)
