"""Augmentation as Keras layers on float batches (n, 48, 48, 1) of 0–255.

The layers act only with `training=True` and are written in `keras.ops`, so they run inside the
compiled training step on any backend. They are never part of the exported network.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

LUMINANCE = (
    16, 11, 10, 16, 24, 40, 51, 61,
    12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77,
    24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip

Tensor = Any  # a tensor of whichever backend Keras runs on


def augmenter(seed: int, strength: float = 1.0) -> keras.Sequential:
    """Return the layers for a training batch: geometry, light, darkness, blur, noise and erasing.

    Parameters are drawn for each image. The ranges imitate small errors of a face crop (±8 % shift
    and size, ±10° rotation), a camera's light (±20 % contrast, ±25 levels, gamma 0.8–1.25; one
    picture in five dark or of low contrast), and small cameras (one picture in seven out of focus,
    one in seven blurred by motion, one in five noisy, one in seven compressed too much).
    `strength` multiplies the ranges and the probabilities, except the size of the erased patch, the
    darkest light, the longest motion and the lowest quality.
    """
    return keras.Sequential(
        [
            keras.Input((48, 48, 1)),
            RandomCrop(
                shift=0.08 * strength, zoom=0.08 * strength, turn_deg=10.0 * strength, seed=seed
            ),
            RandomLight(
                contrast=0.2 * strength,
                brightness=25.0 * strength,
                gamma=1.25**strength,
                seed=seed + 1,
            ),
            RandomDark(probability=0.2 * strength, darkest=0.12, seed=seed + 5),
            RandomBlur(probability=0.15 * strength, seed=seed + 2),
            RandomMotion(probability=0.15 * strength, reach=4, seed=seed + 6),
            RandomNoise(probability=0.2 * strength, largest=6.0 * strength, seed=seed + 3),
            RandomJpeg(probability=0.15 * strength, lowest=7.0, seed=seed + 7),
            RandomErase(probability=0.25 * strength, largest=0.4, seed=seed + 4),
        ],
        name="augment",
    )


class _RandomLayer(layers.Layer):  # type: ignore[misc]
    """A layer that draws from its own seed generator and changes nothing at inference."""

    def __init__(self, seed: int) -> None:
        super().__init__(dtype="float32")  # also in mixed precision, for pixels and positions
        self._generator = keras.random.SeedGenerator(seed)

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        return self.transform(x) if training else x

    def transform(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _uniform(self, x: Tensor, low: float, high: float, tail: tuple[int, ...] = ()) -> Tensor:
        shape = (ops.shape(x)[0], *tail)
        return keras.random.uniform(shape, low, high, seed=self._generator)


class RandomCrop(_RandomLayer):
    """A random flip, rotation, zoom and shift in one bilinear resampling, reflected at the edge.

    `shift` and `zoom` are fractions of the picture, `turn_deg` is degrees; each is the largest
    deviation to either side.
    """

    def __init__(self, *, shift: float, zoom: float, turn_deg: float, seed: int) -> None:
        super().__init__(seed)
        self._shift, self._zoom, self._turn = shift, zoom, math.radians(turn_deg)

    def transform(self, x: Tensor) -> Tensor:
        size = x.shape[1]
        center = (size - 1) / 2
        angle = self._uniform(x, -self._turn, self._turn)
        scale = 1.0 + self._uniform(x, -self._zoom, self._zoom)
        mirror = ops.where(self._uniform(x, 0.0, 1.0) < 0.5, -1.0, 1.0)
        dx = self._uniform(x, -self._shift, self._shift) * size
        dy = self._uniform(x, -self._shift, self._shift) * size
        cos, sin = ops.cos(angle) * scale, ops.sin(angle) * scale
        a, b, d, e = cos * mirror, -sin, sin * mirror, cos
        zero = ops.zeros_like(a)
        rows = [
            a, b, center - a * center - b * center + dx,
            d, e, center - d * center - e * center + dy,
            zero, zero,
        ]  # fmt: skip
        return ops.image.affine_transform(
            x, ops.stack(rows, axis=1), interpolation="bilinear", fill_mode="reflect"
        )


class RandomLight(_RandomLayer):
    """Random contrast about each picture's mean, brightness in levels of 0–255, and gamma.

    `contrast` and `brightness` are the largest deviations to either side; the exponent is drawn
    between 1/`gamma` and `gamma`, uniform in its logarithm.
    """

    def __init__(self, *, contrast: float, brightness: float, gamma: float, seed: int) -> None:
        super().__init__(seed)
        self._contrast, self._brightness, self._gamma = contrast, brightness, math.log(gamma)

    def transform(self, x: Tensor) -> Tensor:
        mean = ops.mean(x, axis=(1, 2, 3), keepdims=True)
        gain = 1.0 + self._uniform(x, -self._contrast, self._contrast, (1, 1, 1))
        offset = self._uniform(x, -self._brightness, self._brightness, (1, 1, 1))
        exponent = ops.exp(self._uniform(x, -self._gamma, self._gamma, (1, 1, 1)))
        lit = ops.clip((x - mean) * gain + mean + offset, 0.0, 255.0)
        return 255.0 * ops.power(lit / 255.0, exponent)


class RandomDark(_RandomLayer):
    """Reduces the light or the contrast of some pictures.

    A picture is changed with `probability`: half of those become darker, half lose contrast about
    their mean. What remains is a fraction between `darkest` and 1, uniform in its logarithm.
    """

    def __init__(self, *, probability: float, darkest: float, seed: int) -> None:
        super().__init__(seed)
        self._probability, self._darkest = probability, math.log(darkest)

    def transform(self, x: Tensor) -> Tensor:
        draw = self._uniform(x, 0.0, 1.0, (1, 1, 1))
        fraction = ops.exp(self._uniform(x, self._darkest, 0.0, (1, 1, 1)))
        mean = ops.mean(x, axis=(1, 2, 3), keepdims=True)
        fixed = ops.where(draw < self._probability / 2, 0.0, mean)  # the level that stays
        return ops.where(draw < self._probability, (x - fixed) * fraction + fixed, x)


class RandomBlur(_RandomLayer):
    """Blurs some pictures by mixing in a random share of a 5×5 binomial filter's output.

    A picture is changed with `probability`.
    """

    def __init__(self, *, probability: float, seed: int) -> None:
        super().__init__(seed)
        self._probability = probability

    def transform(self, x: Tensor) -> Tensor:
        row = ops.convert_to_tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16.0
        padded = ops.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
        blurred = ops.conv(padded, ops.reshape(row, (5, 1, 1, 1)), padding="valid")
        blurred = ops.conv(blurred, ops.reshape(row, (1, 5, 1, 1)), padding="valid")
        chosen = self._uniform(x, 0.0, 1.0, (1, 1, 1)) < self._probability
        share = ops.where(chosen, self._uniform(x, 0.0, 1.0, (1, 1, 1)), 0.0)
        return x + share * (blurred - x)


class RandomMotion(_RandomLayer):
    """Blurs some pictures along rows or columns, as motion does.

    A picture is changed with `probability`, over a length of 1 to 2 × `reach` + 1 pixels. Beyond
    the edge the picture is mirrored.
    """

    def __init__(self, *, probability: float, reach: int, seed: int) -> None:
        super().__init__(seed)
        self._probability, self._reach = probability, reach

    def transform(self, x: Tensor) -> Tensor:
        reach, width = self._reach, x.shape[2]
        chosen = self._uniform(x, 0.0, 1.0, (1, 1, 1)) < self._probability
        upright = self._uniform(x, 0.0, 1.0, (1, 1, 1)) < 0.5
        half = self._uniform(x, 0.5, reach + 0.5, (1, 1, 1))
        along = ops.where(upright, ops.transpose(x, (0, 2, 1, 3)), x)
        padded = ops.pad(along, ((0, 0), (0, 0), (reach, reach), (0, 0)), mode="reflect")
        blurred = ops.zeros_like(x)
        for step in range(2 * reach + 1):
            weight = ops.clip(half + 0.5 - abs(step - reach), 0.0, 1.0) / (2 * half)
            blurred = blurred + weight * padded[:, :, step : step + width]
        blurred = ops.where(upright, ops.transpose(blurred, (0, 2, 1, 3)), blurred)
        return ops.where(chosen, blurred, x)


class RandomNoise(_RandomLayer):
    """Adds Gaussian noise to some pictures, with a standard deviation up to `largest` levels."""

    def __init__(self, *, probability: float, largest: float, seed: int) -> None:
        super().__init__(seed)
        self._probability, self._largest = probability, largest

    def transform(self, x: Tensor) -> Tensor:
        chosen = self._uniform(x, 0.0, 1.0, (1, 1, 1)) < self._probability
        deviation = ops.where(chosen, self._uniform(x, 0.0, self._largest, (1, 1, 1)), 0.0)
        noise = keras.random.normal(ops.shape(x), seed=self._generator)
        return ops.clip(x + deviation * noise, 0.0, 255.0)


class RandomJpeg(_RandomLayer):
    """Compresses some pictures as JPEG does, blocks of 8×8 pixels from the upper left corner.

    A picture is changed with `probability`; its quality is between `lowest` and 50, uniform in its
    logarithm. Table and scale are those of the standard (ITU-T T.81, table K.1) and of libjpeg.
    """

    def __init__(self, *, probability: float, lowest: float, seed: int) -> None:
        super().__init__(seed)
        self._probability, self._lowest = probability, math.log(lowest)
        self._cosines = ops.convert_to_tensor(_cosines(), "float32")
        self._steps = ops.convert_to_tensor(LUMINANCE, "float32")

    def transform(self, x: Tensor) -> Tensor:
        rows, columns = x.shape[1] // 8, x.shape[2] // 8
        chosen = self._uniform(x, 0.0, 1.0, (1, 1, 1)) < self._probability
        quality = ops.exp(self._uniform(x, self._lowest, math.log(50.0), (1, 1)))
        steps = ops.clip(self._steps * 50.0 / quality, 1.0, 255.0)
        blocks = ops.reshape(x - 128.0, (-1, rows, 8, columns, 8))
        blocks = ops.reshape(ops.transpose(blocks, (0, 1, 3, 2, 4)), (-1, rows * columns, 64))
        waves = ops.round(ops.matmul(blocks, ops.transpose(self._cosines)) / steps) * steps
        blocks = ops.reshape(ops.matmul(waves, self._cosines), (-1, rows, columns, 8, 8))
        packed = ops.reshape(ops.transpose(blocks, (0, 1, 3, 2, 4)), ops.shape(x))
        return ops.where(chosen, ops.clip(packed + 128.0, 0.0, 255.0), x)


def _cosines() -> NDArray[np.float64]:
    """Return the orthonormal discrete cosine transform of 8×8 pixels, as rows of (64, 64)."""
    wave, at = np.mgrid[0:8, 0:8]
    one = np.cos((2 * at + 1) * wave * np.pi / 16) * np.where(wave == 0, 0.125**0.5, 0.5)
    return np.kron(one, one)


class RandomErase(_RandomLayer):
    """Fills a random rectangle with the picture's mean (Zhong et al., arXiv:1708.04896).

    An image is changed with `probability`; the patch's sides are up to `largest` of the image's.
    """

    def __init__(self, *, probability: float, largest: float, seed: int) -> None:
        super().__init__(seed)
        self._probability, self._largest = probability, largest

    def transform(self, x: Tensor) -> Tensor:
        chosen = self._uniform(x, 0.0, 1.0, (1, 1, 1)) < self._probability
        rows, columns = self._span(x, x.shape[1]), self._span(x, x.shape[2])
        patch = rows[:, :, None, None] & columns[:, None, :, None] & chosen
        return ops.where(patch, ops.mean(x, axis=(1, 2, 3), keepdims=True), x)

    def _span(self, x: Tensor, size: int) -> Tensor:
        """Draw masks (n, size), each a run of random position and length."""
        half = self._uniform(x, 0.05, self._largest / 2, (1,)) * size
        center = self._uniform(x, 0.0, 1.0, (1,)) * size
        position = ops.arange(size, dtype="float32")[None, :]
        return ops.abs(position - center) < half
