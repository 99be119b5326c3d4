"""A tiny network that locates a bright stripe, exported in the form of `train`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from convert import quiet
from support.labels import LABELS

quiet.configure_tensorflow()
keras = pytest.importorskip("keras", reason="the train extra is not installed")
pytest.importorskip("tensorflow", reason="the train extra is not installed")
pytest.importorskip("ai_edge_litert", reason="the train extra is not installed")

SPEC: dict[str, Any] = {
    "schema": 1,
    "name": "stripes",
    "version": "1.2.3",
    "description": "Where is the stripe? Größe 48.",
    "author": "The testers",
    "license": "Apache-2.0",
    "architecture": "tiny",
    "input": {"height": 48, "width": 48, "channels": 1, "color": "gray", "range": [0, 255]},
    "labels": list(LABELS),
    "crop": {"side": 1.12, "eyes": [0.5, 0.4], "box": [0.5, 0.55]},
    "resize": "area",
    "metrics": {"accuracy": 1.0},
}


def stripes(n: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return noise with a bright stripe, whose height is the class."""
    rng = np.random.default_rng(seed)
    classes = np.arange(n) % len(LABELS)
    images = rng.normal(110, 30, (n, 48, 48, 1))
    for c in range(len(LABELS)):
        images[classes == c, 6 * c : 6 * c + 8] += 50
    return images.clip(0, 255).astype(np.uint8), classes.astype(np.int64)


def tiny_network(**head: Any) -> Any:
    layers = keras.layers
    inputs = keras.Input((48, 48, 1))
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    for filters in (6, 8):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.5)(x)
        x = layers.ReLU()(x)
    x = layers.MaxPooling2D(3)(x)
    x = layers.Dropout(0.1)(layers.Flatten()(x))
    outputs_ = layers.Dense(len(LABELS), **({"activation": "softmax"} | head))(x)
    return keras.Model(inputs, outputs_)


def save_network(folder: Path, model: Any) -> None:
    (folder / "model.json").write_text(model.to_json(), encoding="utf-8")
    model.save_weights(folder / "model.weights.h5")


def write_export(folder: Path) -> None:
    """Train the network briefly and export it, with 100 calibration and 280 test images."""
    folder.mkdir()
    keras.utils.set_random_seed(7)
    model = tiny_network()
    images, classes = stripes(350, seed=1)
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(images.astype(np.float32), classes, batch_size=35, epochs=4, verbose=0)
    save_network(folder, model)
    (folder / "spec.json").write_text(json.dumps(SPEC), encoding="utf-8")
    np.savez(folder / "calibration.npz", x=images[:100])
    test_images, test_classes = stripes(280, seed=2)
    np.savez(folder / "test.npz", x=test_images, y=test_classes)
