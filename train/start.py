"""A model file in, its weights in a network out: a training goes on from what is shipped.

A TFLite file has no batch normalization left: it is worked into the weights before it. Here it is
put back, so that network and file answer alike and the layers learn as they did.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from train.errors import ModelFileError
from train.tflite import Weights, weights_of
from train.trained import Faces, keras_classifier, read_trained

FACES = 512  # the outputs of all layers for so many are held at once
LEAST_AGREEMENT = 0.95  # of the labels; int8 changes one in a hundred


def sha256_of(path: Path) -> str:
    """Raises ModelFileError where `path` cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror}).") from error


def start_from(network: keras.Model, path: Path, faces: Faces) -> None:
    """Give `network` the weights of the TFLite file `path`, of any variant but float16.

    `faces` (n, 48, 48, 1) show what the layers answer. Raises ModelFileError where the file is of
    another architecture.
    """
    sample = faces[:FACES]
    given = read_trained(path)
    weighted = [layer for layer in network.layers if hasattr(layer, "kernel")]
    norms = {
        layer.input.name: layer
        for layer in network.layers
        if isinstance(layer, layers.BatchNormalization)
    }
    try:
        found = _in_order(weighted, weights_of(given.content))
    except LookupError as error:
        raise ModelFileError(f"{path}: is not of the architecture {network.name}.") from error
    normed = [layer for layer in weighted if layer.output.name in norms]
    for layer in weighted:
        kernel, bias = found[layer.name]
        if layer not in normed:
            layer.kernel.assign(kernel)
            layer.bias.assign(bias)
            continue
        layer.kernel.assign(kernel / _sizes(kernel))
        if layer.use_bias:
            layer.bias.assign(np.zeros_like(bias))
        _put_back(norms[layer.output.name], 0.0, 1.0, found[layer.name])
    # Only now do the layers see what they would see in the file.
    seen = keras.Model(network.input, [layer.output for layer in normed]).predict_on_batch(sample)
    for layer, output in zip(normed, seen, strict=True):
        numbers = np.asarray(output, np.float32).reshape(-1, output.shape[-1])
        mean, variance = numbers.mean(axis=0), numbers.var(axis=0)
        _put_back(norms[layer.output.name], mean, variance, found[layer.name])
    agree = keras_classifier(network)(sample).argmax(axis=1) == given.classify(sample).argmax(
        axis=1
    )
    if agree.mean() < LEAST_AGREEMENT:
        raise ModelFileError(f"{path}: is not of the architecture {network.name}.")


def _sizes(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """The length of each filter: with normalization behind it, only its direction matters."""
    return np.asarray(np.linalg.norm(kernel.reshape(-1, kernel.shape[-1]), axis=0) + 1e-12)


def _put_back(
    norm: layers.BatchNormalization,
    mean: NDArray[np.float32] | float,
    variance: NDArray[np.float32] | float,
    weights: Weights,
) -> None:
    """Have `norm` undo the scaling of the filters and add the bias, whatever it takes away first.

    `mean` and `variance` are for each filter or for all alike.
    """
    kernel, bias = weights
    size = _sizes(kernel)
    norm.moving_mean.assign(np.zeros_like(bias) + mean)
    norm.moving_variance.assign(np.zeros_like(bias) + variance)
    norm.gamma.assign(np.sqrt(variance + norm.epsilon) * size)
    norm.beta.assign(bias + mean * size)


def _in_order(weighted: list[keras.layers.Layer], found: list[Weights]) -> dict[str, Weights]:
    """By layer, the first weights of its shape not yet taken: those of one shape are in sequence.

    Raises LookupError where they don't match.
    """
    left, matched = list(found), {}
    for layer in weighted:
        shape = tuple(layer.kernel.shape)
        fitting = [i for i, (kernel, _) in enumerate(left) if kernel.shape == shape]
        # The conversion makes a mean over the whole map part of the 1×1 convolution after it.
        pooling = [i for i, (kernel, _) in enumerate(left) if (1, 1, *kernel.shape[2:]) == shape]
        kernel, bias = left.pop((fitting or pooling)[0])
        axes = () if fitting else (0, 1)
        matched[layer.name] = np.asarray(kernel.sum(axis=axes, keepdims=True)), bias
    if left:
        raise LookupError
    return matched
