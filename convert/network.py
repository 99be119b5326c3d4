"""Rebuilds the Keras network of an export folder and runs it."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import h5py
import keras
import numpy as np

from convert.errors import ConvertError
from convert.export_folder import ExportFolder, Images
from convert.scores import Probabilities


def load(export: ExportFolder) -> keras.Model:
    """Rebuild the trained network. Raises ConvertError if JSON, weights and spec do not fit."""
    model = _from_json(export.architecture_json)
    _check_shapes(model, export)
    _load_weights(model, export.weights)
    return model


def probabilities(model: keras.Model, images: Images) -> Probabilities:
    """Return the network's answers to raw gray pixels (n, height, width, 1)."""
    answers: Probabilities = model.predict(images.astype(np.float32), batch_size=64, verbose=0)
    if np.isfinite(answers).all() and not np.allclose(answers.sum(axis=1), 1, atol=1e-3):
        raise ConvertError(
            "the network's answers do not sum to 1: its last layer must be a softmax"
        )
    return answers


def _from_json(text: str) -> keras.Model:
    keras.backend.clear_session()  # so that layer names, and the bytes, are always the same
    try:
        model = keras.models.model_from_json(text)
    except (ValueError, TypeError, LookupError, AttributeError, ImportError) as error:
        raise ConvertError(
            f"model.json cannot be rebuilt{_writer(text)}: {_first_line(error)}"
        ) from error
    if not isinstance(model, keras.Model):
        raise ConvertError("model.json does not describe a Keras model")
    return model


def _writer(text: str) -> str:
    """Return the Keras version that a `model.json` names, "" without one; Keras 3 names none."""
    found = re.search(r'"keras_version": "([^"]+)"', text)
    return f" by Keras {keras.__version__}, it is Keras {found[1]}'s" if found else ""


def _check_shapes(model: keras.Model, export: ExportFolder) -> None:
    wanted = (None, *export.calibration.shape[1:])
    if model.input_shape != wanted:
        raise ConvertError(f"the network takes {model.input_shape}, spec.json says {wanted}")
    if model.output_shape != (None, len(export.labels)):
        raise ConvertError(
            f"the network's output is {model.output_shape}, "
            f"which does not fit the {len(export.labels)} labels of spec.json"
        )


def _load_weights(model: keras.Model, path: Path) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras warns before it raises
            model.load_weights(path)
        stored = _stored_weights(path)
    except (OSError, RuntimeError) as error:
        raise ConvertError(
            f"{path} is not a readable weights file: {_first_line(error)}"
        ) from error
    except (ValueError, KeyError) as error:
        raise ConvertError(f"{path} does not fit model.json: {_first_line(error)}") from error
    if stored != len(model.weights):  # Keras ignores additional arrays in the file
        raise ConvertError(
            f"{path} does not fit model.json: "
            f"it holds {stored} arrays, the network has {len(model.weights)}"
        )


def _stored_weights(path: Path) -> int:
    """Return how many arrays the layers have in a `.weights.h5` file, without optimizer state."""
    names: list[str] = []
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None
        )
    return sum(name.startswith("layers/") and "seed_generator" not in name for name in names)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
