"""Faces in, the same faces out as a poor camera or a hard moment shows them; each at 3 levels.

After Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations", https://arxiv.org/abs/1903.12261, with what a camera at a door adds: faces that are
turned, cut out beside the middle, or half hidden. The levels are for 48×48 faces. What is random
is drawn anew from the same seed at each call, so that the same faces give the same faces.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from train.trained import Classify, Faces

_SEED = 1
_READ_NOISE = 3.0  # levels; what a small sensor adds in the dark


class Corruption(NamedTuple):
    """`apply(faces, level)` for each of `levels`, mild to severe, which are in `unit`."""

    apply: Callable[[Faces, float], Faces]
    levels: tuple[float, float, float]
    unit: str


def gaussian_blur(x: Faces, sigma_px: float) -> Faces:
    """Out of focus: a Gaussian of `sigma_px`."""
    reach = int(np.ceil(3 * sigma_px))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma_px) ** 2)
    return _pixels(_filtered(_filtered(x.astype(np.float32), kernel, axis=1), kernel, axis=2))


def motion_blur(x: Faces, length_px: float) -> Faces:
    """A head that moves sideways by `length_px`, an odd number, during the exposure."""
    return _pixels(_filtered(x.astype(np.float32), np.ones(int(length_px)), axis=2))


def noise(x: Faces, deviation: float) -> Faces:
    """Gaussian noise of that standard deviation, in levels."""
    drawn = np.random.default_rng(_SEED).standard_normal(x.shape, np.float32)
    return _pixels(x + drawn * np.float32(deviation))


def low_light(x: Faces, gain: float) -> Faces:
    """`gain` of the light, and the sensor's own noise."""
    drawn = np.random.default_rng(_SEED).standard_normal(x.shape, np.float32)
    return _pixels(x * np.float32(gain) + drawn * np.float32(_READ_NOISE))


def jpeg(x: Faces, quality: float) -> Faces:
    """Through JPEG of that quality."""

    def packed(face: Image.Image) -> Image.Image:
        stream = io.BytesIO()
        face.save(stream, "JPEG", quality=int(quality))
        return Image.open(stream)

    return _each(x, packed)


def resample(x: Faces, side_px: float) -> Faces:
    """A face of `side_px` pixels, made larger again."""
    small = (int(side_px), int(side_px))

    def shrunk(face: Image.Image) -> Image.Image:
        return face.resize(small, Image.Resampling.BOX).resize(face.size, Image.Resampling.BILINEAR)

    return _each(x, shrunk)


def rotate(x: Faces, angle_deg: float) -> Faces:
    """Turned by `angle_deg` to a random side; beyond the edge the picture goes on mirrored."""
    margin = x.shape[1] // 4  # enough up to 45°
    signs = iter(np.random.default_rng(_SEED).choice((-1, 1), len(x)))

    def turned(face: Image.Image) -> Image.Image:
        return face.rotate(next(signs) * angle_deg, Image.Resampling.BILINEAR)

    return _each(_mirrored(x, margin), turned)[:, margin:-margin, margin:-margin]


def shift(x: Faces, distance_px: float) -> Faces:
    """Cut out `distance_px` beside the middle, in one of 8 directions, mirrored at the edge."""
    reach = int(distance_px)
    steps = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]
    chosen = np.random.default_rng(_SEED).integers(len(steps), size=len(x))
    wide, size = _mirrored(x, reach), x.shape[1]
    out = np.empty_like(x)
    for number, (dy, dx) in enumerate(steps):
        top, left = reach * (1 + dy), reach * (1 + dx)
        moved = wide[chosen == number, top : top + size, left : left + size]
        out[chosen == number] = moved
    return out


def occlude(x: Faces, fraction: float) -> Faces:
    """`fraction` of the face hidden from a random side behind something of one random gray."""
    rng = np.random.default_rng(_SEED)
    sides, grays = rng.integers(4, size=len(x)), rng.integers(256, size=len(x))
    hidden = round(x.shape[1] * fraction)
    out = x.copy()
    places = (np.s_[:hidden], np.s_[-hidden:], np.s_[:, :hidden], np.s_[:, -hidden:])
    for face, side, gray in zip(out, sides, grays, strict=True):
        face[places[side]] = gray
    return out


CORRUPTIONS = {
    "gaussian blur": Corruption(gaussian_blur, (0.75, 1.25, 2.0), "px"),
    "motion blur": Corruption(motion_blur, (3, 5, 9), "px"),
    "noise": Corruption(noise, (8, 16, 32), "levels"),
    "low light": Corruption(low_light, (0.5, 0.25, 0.12), "of the light"),
    "JPEG": Corruption(jpeg, (30, 15, 7), "quality"),
    "down and up again": Corruption(resample, (32, 24, 16), "px a side"),
    "rotation": Corruption(rotate, (10, 20, 30), "degrees"),
    "shift": Corruption(shift, (3, 5, 8), "px"),
    "occlusion": Corruption(occlude, (0.2, 0.35, 0.5), "of the face"),
}


def measure_robustness(classify: Classify, x: Faces, y: NDArray[np.int64]) -> dict[str, Any]:
    """The accuracy of `classify` on `x` under every corruption and level, and their mean."""

    def accuracy(corruption: Corruption, level: float) -> float:
        return float((classify(corruption.apply(x, level)).argmax(axis=1) == y).mean())

    found = {
        name: [accuracy(each, level) for level in each.levels] for name, each in CORRUPTIONS.items()
    }
    return {
        "mean_accuracy": float(np.mean(list(found.values()))),
        "corruptions": {
            name: {"levels": list(each.levels), "unit": each.unit, "accuracy": found[name]}
            for name, each in CORRUPTIONS.items()
        },
    }


def _pixels(real: NDArray[np.float32]) -> Faces:
    return real.round().clip(0, 255).astype(np.uint8)


def _filtered(
    real: NDArray[np.float32], kernel: NDArray[np.float64], axis: int
) -> NDArray[np.float32]:
    """Weighted by `kernel`, of sum 1 after this, along `axis`; beyond the edge the edge goes on."""
    reach, size = len(kernel) // 2, real.shape[axis]
    margins = [(reach, reach) if i == axis else (0, 0) for i in range(real.ndim)]
    padded = np.pad(real, margins, mode="edge")
    out = np.zeros_like(real)
    for i, weight in enumerate((kernel / kernel.sum()).astype(np.float32)):
        out += weight * padded.take(range(i, i + size), axis)
    return out


def _mirrored(x: Faces, margin: int) -> Faces:
    return np.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode="reflect")


def _each(x: Faces, change: Callable[[Image.Image], Image.Image]) -> Faces:
    """`change` of every face as a Pillow picture."""
    return np.array([np.asarray(change(Image.fromarray(face))) for face in x[..., 0]])[..., None]
