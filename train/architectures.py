"""The networks: from raw gray pixels, (n, 48, 48, 1), 0–255, to probabilities, (n, classes).

Rescaling is the first layer of each network, so that the exported one needs no preprocessing.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import layers

CLASSES = 7  # of FER2013; each network can be built for another number
INPUT_SHAPE = (48, 48, 1)


def seed(classes: int = CLASSES) -> keras.Model:
    """Return the seed project's network: 4 convolution layers, then 2 dense ones.

    Convolutions of 64 (3×3), 128 (5×5), 512 (3×3) and 512 (3×3) filters, each with batch
    normalization, ReLU, 2×2 max pooling and dropout; then 256 and 512 units. 4.5 M parameters.
    """
    inputs = keras.Input(INPUT_SHAPE)
    x = layers.Rescaling(1 / 255)(inputs)
    for filters, kernel in ((64, 3), (128, 5), (512, 3), (512, 3)):
        x = layers.Conv2D(filters, kernel, padding="same")(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
        x = layers.MaxPooling2D(2)(x)
        x = layers.Dropout(0.25)(x)
    x = layers.Flatten()(x)
    for units in (256, 512):
        x = layers.Dense(units)(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
        x = layers.Dropout(0.25)(x)
    x = layers.Dense(classes, activation="softmax", dtype="float32")(x)
    return keras.Model(inputs, x, name="seed")


def compact(classes: int = CLASSES) -> keras.Model:
    """Return a residual network of 3×3 convolutions (He et al., arXiv:1512.03385), 0.7 M weights.

    It has a stem of 24 filters, then stages of 32, 64 and 128 filters with two blocks each; each
    stage has half the size of the one before. With ReLU, global average pooling and a 1×1
    convolution, every operator has an int8 kernel in XNNPACK.
    """
    inputs = keras.Input(INPUT_SHAPE)
    x = _conv_bn_relu(layers.Rescaling(1 / 127.5, offset=-1)(inputs), 24)
    for filters in (32, 64, 128):
        x = _residual(x, filters, stride=2)
        x = _residual(x, filters, stride=1)
    return keras.Model(inputs, _head(x, classes, dropout=0.3), name="compact")


def resnet18(classes: int = CLASSES, width: int = 64, name: str = "resnet18") -> keras.Model:
    """Return a teacher: ResNet-18 (He et al., arXiv:1512.03385) for 48×48 pixels, 11 M weights.

    The stem keeps the full size and has no pooling; `width` is its number of filters.
    """
    inputs = keras.Input(INPUT_SHAPE)
    x = _conv_bn_relu(layers.Rescaling(1 / 127.5, offset=-1)(inputs), width)
    for stage in range(4):
        x = _residual(x, width * 2**stage, stride=1 if stage == 0 else 2)
        x = _residual(x, width * 2**stage, stride=1)
    return keras.Model(inputs, _head(x, classes, dropout=0.4), name=name)


def slim_resnet18(classes: int = CLASSES) -> keras.Model:
    """Return a teacher for machines without an accelerator: ResNet-18 with a quarter of filters."""
    return resnet18(classes, 16, name="slim-resnet18")


ARCHITECTURES: dict[str, Callable[..., keras.Model]] = {
    "compact": compact,
    "seed": seed,
    "resnet18": resnet18,
    "slim-resnet18": slim_resnet18,
}


def _head(x: keras.KerasTensor, classes: int, dropout: float) -> keras.KerasTensor:
    """Global average pooling, a 1×1 convolution and softmax: all with int8 kernels in XNNPACK."""
    x = layers.Dropout(dropout)(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Conv2D(classes, 1, kernel_initializer="he_normal")(x)
    return layers.Softmax(dtype="float32")(layers.Reshape((classes,))(x))


def _conv_bn(x: keras.KerasTensor, filters: int, kernel: int, stride: int) -> keras.KerasTensor:
    x = layers.Conv2D(
        filters,
        kernel,
        stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
    )(x)
    return layers.BatchNormalization(momentum=0.95, epsilon=1e-5)(x)


def _conv_bn_relu(x: keras.KerasTensor, filters: int, stride: int = 1) -> keras.KerasTensor:
    return layers.ReLU()(_conv_bn(x, filters, 3, stride))


def _residual(x: keras.KerasTensor, filters: int, stride: int) -> keras.KerasTensor:
    """relu(shortcut + conv(relu(conv(x)))), with a 1×1 convolution where the shapes differ."""
    y = _conv_bn_relu(x, filters, stride)
    y = _conv_bn(y, filters, 3, 1)
    if stride != 1 or x.shape[-1] != filters:
        x = _conv_bn(x, filters, 1, stride)
    return layers.ReLU()(layers.Add()([x, y]))
