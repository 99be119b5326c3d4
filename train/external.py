"""Writes an export of a Keras network that was trained elsewhere, for the conversion."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from train.checkpoints import save_weights, write_text
from train.dataset import EVALUATION, SIZE_PX, Split, stratified_split
from train.errors import ModelFileError
from train.export import CALIBRATION_FACES, CROP, save_split
from train.loading import keras_classifier
from train.scores import Faces, score

# Scale and offset from pixels 0–255 to the network's range, by the value of the option.
PIXELS = {"0..255": (1.0, 0.0), "0..1": (1 / 255, 0.0), "-1..1": (1 / 127.5, -1.0)}


def import_network(
    path: Path, splits: dict[str, Split], *, pixels: str, name: str, folder: Path
) -> dict[str, Any]:
    """Export the network of a .keras or .h5 file to `folder`; return its scores.

    Its input must be square gray faces with pixels in the range `pixels`, its output probabilities
    of the labels of `splits`. Raises ModelFileError with the reason.
    """
    loaded = _load(path, len(splits["Training"].labels))
    size = loaded.input_shape[1]
    inputs = keras.Input((size, size, 1))
    scale, offset = PIXELS[pixels]
    outputs = loaded(keras.layers.Rescaling(scale, offset)(inputs))
    network = keras.Model(inputs, outputs, name="external")
    training = splits["Training"]
    test = next(splits[each] for each in EVALUATION if each in splits)
    faces = scaled(test.x, size)
    answers = keras_classifier(network)(faces)
    if not np.allclose(answers.sum(axis=1), 1, atol=1e-3):
        raise ModelFileError(
            f"{path}: its answers do not sum to 1; add a softmax as the last layer."
        )
    scores = score(test.y, answers.argmax(axis=1), test.labels)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "model.json", network.to_json(indent=1))
    save_weights(network, folder / "model.weights.h5")
    fraction = min(1.0, CALIBRATION_FACES / len(training.y))
    _, sample = stratified_split(training.y, fraction, seed=1)
    save_split(folder / "calibration.npz", scaled(training.x[sample], size), training.y[sample])
    save_split(folder / "test.npz", faces, test.y)
    spec = {
        "schema": 1,
        "name": name,
        "version": "1",
        "description": f"Imported from {path.name}",
        "author": "unknown",
        "license": "unknown",
        "architecture": loaded.name,
        "input": {"height": size, "width": size, "channels": 1, "color": "gray", "range": [0, 255]},
        "labels": list(test.labels),
        "crop": CROP,
        "resize": "area",
        "dataset": {"name": test.dataset, "annotations": test.dataset},
        "metrics": {
            "split": test.name,
            "annotations": test.dataset,
            **{key: scores[key] for key in ("faces", "accuracy", "mean_recall", "macro_f1")},
        },
    }
    write_text(folder / "spec.json", json.dumps(spec, indent=1) + "\n")
    return scores


def scaled(x: Faces, size: int) -> Faces:
    """Scale faces (n, 48, 48, 1) to (n, size, size, 1): averaged if smaller, else bilinear."""
    if size == SIZE_PX:
        return x
    method = Image.Resampling.BOX if size < SIZE_PX else Image.Resampling.BILINEAR

    def one(face: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.asarray(Image.fromarray(face).resize((size, size), method))

    return np.stack([one(face) for face in x[..., 0]])[..., None]


def _load(path: Path, classes: int) -> keras.Model:
    try:
        network = keras.models.load_model(path, compile=False)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ModelFileError(
            f"{path}: Keras {keras.__version__} cannot load it ({reason}); it must be a whole "
            "network in a .keras or .h5 file, without layers of its own."
        ) from error
    shape = network.input_shape
    if not (len(shape) == 4 and shape[1] == shape[2] and shape[3] == 1):
        raise ModelFileError(
            f"{path}: takes {shape[1:]}; the daemon gives square gray faces, (size, size, 1)."
        )
    if network.output_shape != (None, classes):
        raise ModelFileError(
            f"{path}: answers {network.output_shape[1:]}, the dataset has {classes} classes; name "
            "the network's classes, in its order, with --labels."
        )
    return network
