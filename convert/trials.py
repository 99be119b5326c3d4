"""Prepares the test images for every candidate: unchanged ones and corrupted ones."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from convert import network
from convert.export_folder import ClassIds, ExportFolder, Images
from convert.scores import Probabilities

CLEAN, CORRUPTED = "test images", "corrupted test images"
CORRUPTIONS = ("blur", "noise", "dark")

_SEED = 1
_BINOMIAL = np.array([1, 4, 6, 4, 1], np.float32) / 16  # close to a Gaussian of one pixel
_NOISE_LEVELS = 12.0  # standard deviation
_DARK_GAIN = 0.35


@dataclass(frozen=True, slots=True)
class Trial:
    """Images with their true classes, and the Keras network's answers."""

    name: str
    images: Images
    truth: ClassIds
    keras: Probabilities


def prepare(model: keras.Model, export: ExportFolder) -> tuple[Trial, ...]:
    """Return two trials: the test images unchanged, and corrupted."""
    sets = {CLEAN: export.test_images, CORRUPTED: corrupted(export.test_images)}
    return tuple(
        Trial(name, images, export.test_classes, network.probabilities(model, images))
        for name, images in sets.items()
    )


def corrupted(images: Images) -> Images:
    """Corrupt images (n, height, width, 1): a third with each of `CORRUPTIONS`, chosen by a seed.

    The kinds of corruption are from Hendrycks and Dietterich, arXiv:1903.12261.
    """
    rng = np.random.default_rng(_SEED)
    kind = rng.permutation(len(images)) % len(CORRUPTIONS)
    real = images.astype(np.float32)
    real[kind == 0] = _blurred(_blurred(real[kind == 0], axis=1), axis=2)
    real[kind == 1] += rng.normal(0, _NOISE_LEVELS, real[kind == 1].shape).astype(np.float32)
    real[kind == 2] *= _DARK_GAIN
    return real.round().clip(0, 255).astype(np.uint8)


def _blurred(real: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Blur along one axis; pixels at the edge are repeated."""
    reach = len(_BINOMIAL) // 2
    margins = [(reach, reach) if i == axis else (0, 0) for i in range(real.ndim)]
    padded, size = np.pad(real, margins, mode="edge"), real.shape[axis]
    shifted = [padded.take(range(i, i + size), axis) for i in range(len(_BINOMIAL))]
    return np.tensordot(_BINOMIAL, np.stack(shifted), axes=1).astype(np.float32)
