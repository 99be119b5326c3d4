"""Test images in, the same as a poor camera would bring them out: blurred, noisy or dark."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convert.export_folder import Images

NAMES = ("blur", "noise", "dark")

_SEED = 1
_BINOMIAL = np.array([1, 4, 6, 4, 1], np.float32) / 16  # a Gaussian of one pixel, nearly
_NOISE_LEVELS = 12.0  # standard deviation
_DARK_GAIN = 0.35


def corrupted(images: Images) -> Images:
    """A copy of (n, height, width, 1) images, a random third in each of `NAMES`, always the same.

    After the kinds of corruption of Hendrycks and Dietterich, arXiv:1903.12261.
    """
    rng = np.random.default_rng(_SEED)
    kind = rng.permutation(len(images)) % len(NAMES)
    real = images.astype(np.float32)
    real[kind == 0] = _blurred(_blurred(real[kind == 0], axis=1), axis=2)
    real[kind == 1] += rng.normal(0, _NOISE_LEVELS, real[kind == 1].shape).astype(np.float32)
    real[kind == 2] *= _DARK_GAIN
    return real.round().clip(0, 255).astype(np.uint8)


def _blurred(real: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Filtered along one axis; beyond the edge the edge pixels go on."""
    reach = len(_BINOMIAL) // 2
    margins = [(reach, reach) if i == axis else (0, 0) for i in range(real.ndim)]
    padded, size = np.pad(real, margins, mode="edge"), real.shape[axis]
    shifted = [padded.take(range(i, i + size), axis) for i in range(len(_BINOMIAL))]
    return np.tensordot(_BINOMIAL, np.stack(shifted), axes=1).astype(np.float32)
