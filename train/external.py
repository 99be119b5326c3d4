"""Writes an export of a Keras network that was trained elsewhere, for the conversion."""

from __future__ import annotations

import json
import tempfile
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
NAME = "external"
TOLERANCE = 1e-3  # of a sum of probabilities
HDF5, ZIP, TFLITE = b"\x89HDF\r\n\x1a\n", b"PK", b"TFL3"  # how files begin, or go on
PIXELS = {"0..255": (1.0, 0.0), "0..1": (1 / 255, 0.0), "-1..1": (1 / 127.5, -1.0)}


def import_network(
    path: Path, splits: dict[str, Split], *, pixels: str, name: str, folder: Path
) -> dict[str, Any]:
    """Export the network of a .keras or .h5 file to `folder`; return its scores.

    Its input must be square faces with pixels in the range `pixels`, its output probabilities of
    the labels of `splits`, or logits, to which a softmax is added. Raises ModelFileError.
    """
    loaded = _load(path)
    _check_shapes(path, loaded, len(splits["Training"].labels))
    size = loaded.input_shape[1] or SIZE_PX
    network = _with_gray_input(loaded, size, *PIXELS[pixels])
    training = splits["Training"]
    test = next(splits[each] for each in EVALUATION if each in splits)
    faces = scaled(test.x, size)
    answers = keras_classifier(network)(faces)
    if (answers < 0).any() or (answers > 1 + TOLERANCE).any():
        print(f"{path}: its answers are no probabilities; a softmax was added")
        network = keras.Model(network.inputs, keras.layers.Softmax()(network.output), name=NAME)
        answers = keras_classifier(network)(faces)
    if not np.allclose(answers.sum(axis=1), 1, atol=TOLERANCE):
        raise ModelFileError(
            f"{path}: its answers do not sum to 1, as those of independent sigmoids; the daemon "
            "needs one class a face, so train it with a softmax as the last layer."
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


def _load(path: Path) -> keras.Model:
    """Load a whole network, whatever its file is called."""
    head = _head(path)
    if (reason := _no_network(head)) is not None:
        raise ModelFileError(f"{path}: {reason}")
    suffix = ".h5" if head == HDF5 else ".keras"
    try:
        with tempfile.TemporaryDirectory() as folder:
            named = Path(folder, f"network{suffix}")  # Keras reads by the suffix
            named.symlink_to(path.resolve())
            return _in_float32(keras.models.load_model(named, compile=False))
    except Exception as error:  # layers of any kind are built, which raise anything
        reason = str(error).strip().partition("\n")[0].partition(". ")[0].replace(str(named), "it")
        raise ModelFileError(
            f"{path}: Keras {keras.__version__} cannot load it ({reason}); it must be a whole "
            "network in a .keras or .h5 file, without layers of its own."
        ) from error


def _in_float32(network: keras.Model) -> keras.Model:
    """Return the network with its calculations in float32, as the conversion needs them."""
    types = {each.compute_dtype for each in network._flatten_layers()}
    if types == {"float32"}:
        return network
    config = network.to_json()
    for policy in ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16"):
        config = config.replace(f'"{policy}"', '"float32"')
    copy = keras.models.model_from_json(config)
    copy.set_weights(network.get_weights())
    return copy


def _head(path: Path) -> bytes:
    """Read how a file begins. Raises ModelFileError."""
    if path.is_dir():
        raise ModelFileError(
            f"{path}: is a folder, as of a SavedModel, from which Keras 3 reads no network; load "
            'it where it was made, and save it with model.save("it.keras").'
        )
    try:
        with path.open("rb") as file:
            return file.read(len(HDF5))
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror}).") from error


def _no_network(head: bytes) -> str | None:
    """Return why a file that begins with `head` is no whole Keras network; None if it may be."""
    if not head:
        return "is empty; copy it again."
    if head[4:8] == TFLITE:
        return "is a TFLite file, which is converted already; import the network it was made from."
    if head.lstrip()[:1] == b"{":
        return (
            "is an architecture without weights; build it with keras.models.model_from_json, load "
            'its weights, and save both with model.save("it.keras").'
        )
    if head != HDF5 and head[:2] != ZIP:
        return "is neither a .keras nor a .h5 file; name the file that model.save() wrote."
    return None


def _check_shapes(path: Path, network: keras.Model, classes: int) -> None:
    """Raise ModelFileError unless the network takes square pictures and answers with `classes`."""
    for what, tensors in (("inputs", network.inputs), ("outputs", network.outputs)):
        if len(tensors) != 1:
            raise ModelFileError(
                f"{path}: has {len(tensors)} {what}; save a network with one, the face as input "
                "and the classes as output."
            )
    shape = network.input_shape
    if not (len(shape) == 4 and shape[1] == shape[2] and shape[3] in {1, 3}):
        raise ModelFileError(
            f"{path}: takes {shape[1:]}; the daemon gives square faces, (size, size, 1), or gray "
            "in three channels, (size, size, 3)."
        )
    if network.output_shape[1:] != (classes,):
        raise ModelFileError(
            f"{path}: answers {network.output_shape[1:]}, the dataset has {classes} classes; name "
            "the network's classes, in its order, with --labels."
        )


def _with_gray_input(network: keras.Model, size: int, scale: float, offset: float) -> keras.Model:
    """Return the network with gray pixels from 0 to 255 as input, whatever its batch."""
    inputs = keras.Input((size, size, 1))
    channels = network.input_shape[3]
    pixels = keras.layers.Rescaling(scale, offset)(inputs)
    if channels > 1:
        pixels = keras.layers.Concatenate()([pixels] * channels)
    if network.input_shape[0] is not None:  # it was saved for batches of one size
        batch = keras.Input((size, size, channels))
        weights = network.get_weights()
        network = keras.models.clone_model(network, input_tensors=batch)
        network.set_weights(weights)
    return keras.Model(inputs, network(pixels), name=NAME)
