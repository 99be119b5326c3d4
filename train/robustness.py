"""Measures accuracy on faces corrupted as by a poor camera: 9 corruptions at 3 levels each.

After Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations", https://arxiv.org/abs/1903.12261, with rotation, shift and occlusion added. The
levels are for 48×48 faces. Each call uses the same seed, so that the same faces are always
corrupted in the same way.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from train.label_sets import LabelSet
from train.scores import Classify, Faces
from train.terminal import progress_bar

_SEED = 1
_READ_NOISE = 3.0  # of a small sensor in the dark, in gray levels


class Corruption(NamedTuple):
    """`apply(faces, level)` corrupts faces; `levels` are mild to severe, in `unit`."""

    apply: Callable[[Faces, float], Faces]
    levels: tuple[float, float, float]
    unit: str


def gaussian_blur(x: Faces, sigma_px: float) -> Faces:
    """Blur with a Gaussian of `sigma_px`, as out of focus."""
    reach = int(np.ceil(3 * sigma_px))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma_px) ** 2)
    return _pixels(_filtered(_filtered(x.astype(np.float32), kernel, axis=1), kernel, axis=2))


def motion_blur(x: Faces, length_px: float) -> Faces:
    """Blur horizontally over `length_px`, an odd number, as when a head moves."""
    return _pixels(_filtered(x.astype(np.float32), np.ones(int(length_px)), axis=2))


def noise(x: Faces, deviation: float) -> Faces:
    """Add Gaussian noise of that standard deviation, in gray levels."""
    drawn = np.random.default_rng(_SEED).standard_normal(x.shape, np.float32)
    return _pixels(x + drawn * np.float32(deviation))


def low_light(x: Faces, gain: float) -> Faces:
    """Multiply by `gain` and add the read noise of a small sensor."""
    drawn = np.random.default_rng(_SEED).standard_normal(x.shape, np.float32)
    return _pixels(x * np.float32(gain) + drawn * np.float32(_READ_NOISE))


def jpeg(x: Faces, quality: float) -> Faces:
    """Compress as JPEG of that quality."""

    def packed(face: Image.Image) -> Image.Image:
        stream = io.BytesIO()
        face.save(stream, "JPEG", quality=int(quality))
        return Image.open(stream)

    return _each(x, packed)


def resample(x: Faces, side_px: float) -> Faces:
    """Shrink to `side_px` pixels a side and enlarge again."""
    small = (int(side_px), int(side_px))

    def shrunk(face: Image.Image) -> Image.Image:
        return face.resize(small, Image.Resampling.BOX).resize(face.size, Image.Resampling.BILINEAR)

    return _each(x, shrunk)


def rotate(x: Faces, angle_deg: float) -> Faces:
    """Rotate by `angle_deg` to a random side, mirrored beyond the edge."""
    margin = x.shape[1] // 4  # enough up to 45°
    signs = iter(np.random.default_rng(_SEED).choice((-1, 1), len(x)))

    def turned(face: Image.Image) -> Image.Image:
        return face.rotate(next(signs) * angle_deg, Image.Resampling.BILINEAR)

    return _each(_mirrored(x, margin), turned)[:, margin:-margin, margin:-margin]


def shift(x: Faces, distance_px: float) -> Faces:
    """Move by `distance_px` in one of 8 random directions, mirrored beyond the edge."""
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
    """Cover `fraction` of the face from a random side with one random gray."""
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


def measure_robustness(
    classify: Classify, x: Faces, sets: Mapping[str, LabelSet]
) -> dict[str, Any]:
    """Accuracy against each set of labels under every corruption and level, and the means.

    `sets` are for the faces `x` (n, 48, 48, 1). For JSON.
    """

    runs = sum(len(each.levels) for each in CORRUPTIONS.values())
    bar = progress_bar(runs, "robustness", unit="run")

    def accuracies(corruption: Corruption, level: float) -> dict[str, float]:
        answers = classify(corruption.apply(x, level)).argmax(axis=1)
        bar.update()
        return {name: float((answers[each.rows] == each.y).mean()) for name, each in sets.items()}

    with bar:
        found = {
            title: [accuracies(each, level) for level in each.levels]
            for title, each in CORRUPTIONS.items()
        }
    every = [each for levels in found.values() for each in levels]
    return {
        "mean_accuracy": {name: float(np.mean([each[name] for each in every])) for name in sets},
        "corruptions": {
            title: {
                "levels": list(each.levels),
                "unit": each.unit,
                "accuracy": {name: [one[name] for one in found[title]] for name in sets},
            }
            for title, each in CORRUPTIONS.items()
        },
    }


def _pixels(real: NDArray[np.float32]) -> Faces:
    return real.round().clip(0, 255).astype(np.uint8)


def _filtered(
    real: NDArray[np.float32], kernel: NDArray[np.float64], axis: int
) -> NDArray[np.float32]:
    """Convolve along `axis` with `kernel` scaled to sum 1; edge pixels are repeated."""
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
    """Apply `change` to every face as a Pillow image."""
    return np.array([np.asarray(change(Image.fromarray(face))) for face in x[..., 0]])[..., None]
