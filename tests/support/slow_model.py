"""A model that answers correctly but takes some tenths of a second."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from convert import contract
from convert.quantize import to_tflite
from convert.tflite import seal
from convert.variants import FLOAT32
from support.stripes import keras, stripes


def slow_model(shipped: Path) -> bytes:
    """Write an untrained network with its own goldens and the metadata of the `shipped` model."""
    with zipfile.ZipFile(shipped) as archive:
        spec = json.loads(archive.read("spec.json"))
    layers = keras.layers
    inputs = keras.Input((48, 48, 1))
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = layers.UpSampling2D(4)(x)
    x = layers.Conv2D(32, 3, padding="same", activation="relu")(x)
    for _ in range(20):
        x = layers.Conv2D(32, 3, padding="same", activation="relu")(x)
    outputs = layers.Dense(7, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    model = to_tflite(keras.Model(inputs, outputs), stripes(7, seed=1)[0], FLOAT32)
    return seal(model, contract.notes(spec), contract.files(spec, contract.goldens(model, 48, 48)))
