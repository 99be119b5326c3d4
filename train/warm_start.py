"""Starts a training from the weights of an export folder or a TFLite file.

A TFLite file contains no batch normalization, because the conversion folds it into the weights
before it. It is restored here, so that the network answers like the file and can be trained again.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from train.architectures import ARCHITECTURES
from train.dataset import LABELS, WITH_CONTEMPT
from train.errors import ModelFileError
from train.label_sets import FERPLUS
from train.loading import LoadedModel, keras_classifier, load_model
from train.networks import VOTES, first_head, last_weighted
from train.recipe import Recipe
from train.scores import Faces
from train.spec_file import labels_of
from train.tflite import Weights, weights_of

FACES = 512  # the outputs of all layers for these are in memory at once
MIN_AGREEMENT = 0.8  # share of equal labels; int8 changes that of one face in fifty
RARE_NATS = 3.0  # how far the logit of an added class is below the mean of the others
SUFFIX = "-fer2013"  # ends the name of the second export of a training with two heads


def sha256_of(path: Path) -> str:
    """Return the digest of a file or of an export's weights. Raises ModelFileError."""
    file = path / "model.weights.h5" if path.is_dir() else path
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelFileError(f"{file}: cannot be read ({error.strerror}).") from error


def load_start(network: keras.Model, recipe: Recipe, path: Path, faces: Faces) -> None:
    """Give `network` the weights of `path`: an export, or a TFLite file that is not float16.

    For a network with two heads, the second head is read from the other file of the same training
    (`NAME` and `NAME-fer2013`); a head without a file starts like the other one. `faces`
    (n, 48, 48, 1) are used to measure the layers' outputs. A file for FER2013's seven classes also
    serves a recipe that adds contempt. Raises ModelFileError if `path` has another architecture.
    """
    first = _load(path, recipe)
    loaded = {first.annotations: _single(first, recipe, faces)}
    own = next(iter(loaded.values()))
    if recipe.votes_head and (other := _sibling(path)).exists():
        second = _load(other, recipe)
        loaded[second.annotations] = _single(second, recipe, faces)
    classes = len(recipe.labels)
    last = {
        name: _widened(last_weighted(each).get_weights(), classes) for name, each in loaded.items()
    }
    votes = last.pop(FERPLUS, None)
    labels = next(iter(last.values()), votes) or []
    target = first_head(network, recipe)
    target.set_weights(_widened(own.get_weights(), classes))
    last_weighted(target).set_weights(labels)
    if recipe.votes_head:
        kernel, bias = votes or labels
        head = network.get_layer(VOTES)
        head.set_weights([kernel.reshape(head.kernel.shape), bias])


def _load(path: Path, recipe: Recipe) -> LoadedModel:
    """Load the model of `path`; for a recipe with contempt, it may lack this class."""
    labels = recipe.labels
    if labels == WITH_CONTEMPT and labels_of(path) == LABELS:
        labels = LABELS
    return load_model(path, labels)


def _widened(weights: list[NDArray[np.float32]], classes: int) -> list[NDArray[np.float32]]:
    """Return `weights` with the last kernel and bias for `classes`; added classes start as rare."""
    *before, kernel, bias = weights
    added = classes - len(bias)
    wider = np.pad(kernel, [(0, 0)] * (kernel.ndim - 1) + [(0, added)])
    return [*before, wider, np.append(bias, [bias.mean() - RARE_NATS] * added)]


def _sibling(path: Path) -> Path:
    """Return the file or folder of the other head."""
    stem = path.stem.removesuffix(SUFFIX) if path.stem.endswith(SUFFIX) else path.stem + SUFFIX
    return path.with_name(stem + path.suffix)


def _single(model: LoadedModel, recipe: Recipe, faces: Faces) -> keras.Model:
    """Return a network with one head and the weights of `model`."""
    network = ARCHITECTURES[recipe.architecture](len(model.spec["labels"]))
    path = model.path
    try:
        if model.network is not None:
            network.set_weights(model.network.get_weights())
        else:
            _unfold(network, weights_of(model.content), faces[:FACES])
    except (LookupError, ValueError) as error:
        raise ModelFileError(f"{path}: is not of the architecture {network.name}.") from error
    answers = keras_classifier(network)(faces[:FACES]).argmax(axis=1)
    if (answers == model.classify(faces[:FACES]).argmax(axis=1)).mean() < MIN_AGREEMENT:
        raise ModelFileError(f"{path}: is not of the architecture {network.name}.")
    return network


def _unfold(network: keras.Model, folded: list[Weights], sample: Faces) -> None:
    """Set the weights of `network` so that it answers like the file with the weights `folded`.

    Raises LookupError if they do not match its layers.
    """
    weighted = [layer for layer in network.layers if hasattr(layer, "kernel")]
    norms = {
        layer.input.name: layer
        for layer in network.layers
        if isinstance(layer, layers.BatchNormalization)
    }
    found = _in_order(weighted, folded)
    normed = [layer for layer in weighted if layer.output.name in norms]
    for layer in weighted:
        kernel, bias = found[layer.name]
        if layer not in normed:
            layer.kernel.assign(kernel)
            layer.bias.assign(bias)
            continue
        layer.kernel.assign(kernel / _lengths(kernel))
        if layer.use_bias:
            layer.bias.assign(np.zeros_like(bias))
        _restore(norms[layer.output.name], 0.0, 1.0, found[layer.name])
    # Only now do the layers get the same inputs as in the file.
    seen = keras.Model(network.input, [layer.output for layer in normed]).predict_on_batch(sample)
    for layer, output in zip(normed, seen, strict=True):
        numbers = np.asarray(output, np.float32).reshape(-1, output.shape[-1])
        mean, variance = numbers.mean(axis=0), numbers.var(axis=0)
        _restore(norms[layer.output.name], mean, variance, found[layer.name])


def _lengths(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the length of each filter; before a normalization only its direction matters."""
    return np.asarray(np.linalg.norm(kernel.reshape(-1, kernel.shape[-1]), axis=0) + 1e-12)


def _restore(
    norm: layers.BatchNormalization,
    mean: NDArray[np.float32] | float,
    variance: NDArray[np.float32] | float,
    weights: Weights,
) -> None:
    """Make `norm` undo the scaling of the filters and add the bias, for these statistics.

    `mean` and `variance` are one for each filter or one for all.
    """
    kernel, bias = weights
    length = _lengths(kernel)
    norm.moving_mean.assign(np.zeros_like(bias) + mean)
    norm.moving_variance.assign(np.zeros_like(bias) + variance)
    norm.gamma.assign(np.sqrt(variance + norm.epsilon) * length)
    norm.beta.assign(bias + mean * length)


def _in_order(weighted: list[keras.layers.Layer], folded: list[Weights]) -> dict[str, Weights]:
    """Return the weights by layer; weights of the same shape are used in their order.

    Raises LookupError if they do not match.
    """
    left, matched = list(folded), {}
    for layer in weighted:
        shape = tuple(layer.kernel.shape)
        fitting = [i for i, (kernel, _) in enumerate(left) if kernel.shape == shape]
        # The conversion merges a mean over the whole map into the 1×1 convolution after it.
        pooling = [i for i, (kernel, _) in enumerate(left) if (1, 1, *kernel.shape[2:]) == shape]
        kernel, bias = left.pop((fitting or pooling)[0])
        axes = () if fitting else (0, 1)
        matched[layer.name] = np.asarray(kernel.sum(axis=axes, keepdims=True)), bias
    if left:
        raise LookupError
    return matched
