"""The networks that `benchmarks.architectures` compares, each of at most a million parameters.

Like those of `train.architectures` they take raw gray pixels 0–255 (n, 48, 48, 1) and give 7
probabilities, and they use only operators with an XNNPACK int8 kernel. Each spends 45 to 60 million
multiply-adds on a face, so that they differ in what they spend them on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from train.architectures import CLASSES, INPUT_SHAPE, compact

Block = Callable[[keras.KerasTensor, int, int, str], keras.KerasTensor]

STEM = 24
STAGES = (32, 64, 128)  # filters; each stage begins with a stride of 2


@dataclass(frozen=True, slots=True)
class Candidate:
    """A network to compare: `build` gives it for training, `fold` what is exported of it then."""

    name: str
    title: str
    build: Callable[[], keras.Model]
    fold: Callable[[keras.Model], keras.Model] = lambda network: network


def plain() -> keras.Model:
    """Plain convolutions, each trained as three branches (QARepVGG, arXiv:2212.01593).

    The same filters as `compact`, and no shortcuts once `fold_plain` has added up the branches.
    """
    return _plain(_branches)


def fold_plain(trained: keras.Model) -> keras.Model:
    """Return a network with the answers of `plain()`, with one 3×3 convolution for each block."""
    folded = _plain(_convolution)
    for layer in folded.layers:
        if layer.name.startswith("block"):
            layer.set_weights(_add_up(trained, layer.name, layer.strides[0]))
    folded.get_layer("classes").set_weights(trained.get_layer("classes").get_weights())
    return folded


def inverted() -> keras.Model:
    """Inverted residuals with linear bottlenecks and ReLU6 (MobileNetV2, arXiv:1801.04381)."""
    inputs, x = _pixels()
    x = _relu6(_norm(_conv(x, STEM, 3)))
    x = _inverted(x, 32, stride=2, expansion=1)
    x = _inverted(x, 32, stride=1, expansion=6)
    for filters in (64, 128):
        for number in range(3):
            x = _inverted(x, filters, stride=1 if number else 2, expansion=6)
    return keras.Model(inputs, _head(x), name="inverted")


def separable() -> keras.Model:
    """Residuals of depthwise-separable convolutions (Xception, arXiv:1610.02357)."""
    inputs, x = _pixels()
    x = layers.ReLU()(_norm(_conv(x, 32, 3)))
    for filters in (64, 128, 256):
        for number in range(3):
            x = _separable(x, filters, stride=1 if number else 2)
    return keras.Model(inputs, _head(x), name="separable")


CANDIDATES = (
    Candidate("compact", "residuals of 3×3 convolutions", compact),
    Candidate("plain", "re-parameterized 3×3 convolutions", plain, fold_plain),
    Candidate("inverted", "inverted residuals, ReLU6", inverted),
    Candidate("separable", "depthwise-separable residuals", separable),
)


def _pixels() -> tuple[keras.KerasTensor, keras.KerasTensor]:
    inputs = keras.Input(INPUT_SHAPE)
    return inputs, layers.Rescaling(1 / 127.5, offset=-1)(inputs)


def _head(x: keras.KerasTensor) -> keras.KerasTensor:
    """As `compact` ends."""
    x = layers.Dropout(0.3)(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Conv2D(CLASSES, 1, kernel_initializer="he_normal", name="classes")(x)
    return layers.Softmax(dtype="float32")(layers.Reshape((CLASSES,))(x))


def _conv(
    x: keras.KerasTensor, filters: int, kernel: int, stride: int = 1, name: str | None = None
) -> keras.KerasTensor:
    return layers.Conv2D(
        filters,
        kernel,
        stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)


def _depthwise(x: keras.KerasTensor, stride: int) -> keras.KerasTensor:
    """3×3, each channel by itself; Keras' own He initialization would count all channels in."""
    start = keras.initializers.RandomNormal(stddev=math.sqrt(2 / 9))
    return layers.DepthwiseConv2D(
        3, stride, padding="same", use_bias=False, depthwise_initializer=start
    )(x)


def _norm(x: keras.KerasTensor, name: str | None = None) -> keras.KerasTensor:
    return layers.BatchNormalization(momentum=0.95, epsilon=1e-5, name=name)(x)


def _relu6(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.ReLU(max_value=6.0)(x)


def _inverted(x: keras.KerasTensor, filters: int, stride: int, expansion: int) -> keras.KerasTensor:
    """Widen, filter each channel, narrow without an activation; a shortcut where shapes allow."""
    y = x
    if expansion > 1:
        y = _relu6(_norm(_conv(y, expansion * x.shape[-1], 1)))
    y = _relu6(_norm(_depthwise(y, stride)))
    y = _norm(_conv(y, filters, 1))
    return layers.Add()([x, y]) if y.shape == x.shape else y


def _separable(x: keras.KerasTensor, filters: int, stride: int) -> keras.KerasTensor:
    """`compact`'s residual block with separable convolutions."""
    y = layers.ReLU()(_norm(_conv(_depthwise(x, stride), filters, 1)))
    y = _norm(_conv(_depthwise(y, 1), filters, 1))
    if y.shape != x.shape:
        x = _norm(_conv(x, filters, 1, stride))
    return layers.ReLU()(layers.Add()([x, y]))


def _plain(block: Block) -> keras.Model:
    """As many 3×3 convolutions as `compact` has, each made by `block`."""
    inputs, x = _pixels()
    x = block(x, STEM, 1, "block0")
    for stage, filters in enumerate(STAGES):
        for number in range(4):
            x = block(x, filters, 1 if number else 2, f"block{1 + 4 * stage + number}")
    return keras.Model(inputs, _head(x), name="plain")


def _branches(x: keras.KerasTensor, filters: int, stride: int, name: str) -> keras.KerasTensor:
    """3×3, 1×1 and, where shapes allow, nothing, added up; normalized after 3×3 and the sum."""
    dense = _norm(_conv(x, filters, 3, stride, f"{name}_dense"), f"{name}_dense_norm")
    point = _conv(x, filters, 1, stride, f"{name}_point")
    same = [x] if point.shape == x.shape else []
    return layers.ReLU()(_norm(layers.Add()([dense, point, *same]), f"{name}_norm"))


def _convolution(x: keras.KerasTensor, filters: int, stride: int, name: str) -> keras.KerasTensor:
    return layers.ReLU()(layers.Conv2D(filters, 3, stride, padding="same", name=name)(x))


def _add_up(trained: keras.Model, name: str, stride: int) -> list[NDArray[np.float64]]:
    """Fold the three branches `name` into one kernel (3, 3, in, out) and bias (out,)."""
    (dense,) = trained.get_layer(f"{name}_dense").get_weights()
    (point,) = trained.get_layer(f"{name}_point").get_weights()
    gain, bias = _affine(trained.get_layer(f"{name}_dense_norm"))
    kernel = dense * gain
    # Which pixel of a 3×3 window a 1×1 convolution sees: at stride 2 an even picture is padded at
    # its far edges only, and the window begins at that pixel.
    place = 1 if stride == 1 else 0
    kernel[place, place] += point[0, 0]
    inputs, outputs = kernel.shape[2:]
    if stride == 1 and inputs == outputs:
        kernel[1, 1] += np.eye(inputs)
    gain, offset = _affine(trained.get_layer(f"{name}_norm"))
    return [kernel * gain, bias * gain + offset]


def _affine(norm: keras.layers.BatchNormalization) -> tuple[NDArray[np.float64], ...]:
    """Return what a batch normalization multiplies by and adds at inference, both (channels,)."""
    gamma, beta, mean, variance = (w.astype(np.float64) for w in norm.get_weights())
    gain = gamma / np.sqrt(variance + norm.epsilon)
    return gain, beta - mean * gain
