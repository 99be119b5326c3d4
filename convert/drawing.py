"""A size in, drawn faces of that size out: pictures of nobody that a network can be asked about."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.export_folder import Images

FACES_PER_LOOK = 2

_SEED = 7
_EDGE = 12.0  # how steeply a shape ends; shapes are about 1 at their center

Plane = NDArray[np.float64]  # (height, width)
Pair = tuple[float, float]  # x, y


@dataclass(frozen=True, slots=True)
class Look:
    """The features of a drawn face, in fractions of its size."""

    brow_tilt: float = 0.0  # the inner end below the outer one
    brow_lift: float = 0.0
    eye_height: float = 0.035
    mouth_curve: float = 0.0  # the corners above the middle
    mouth_open: float = 0.02
    mouth_width: float = 0.15


LOOKS = (
    Look(brow_tilt=0.4, eye_height=0.025, mouth_curve=-0.04),  # angry
    Look(brow_tilt=0.2, eye_height=0.02, mouth_curve=-0.06, mouth_open=0.05),  # disgust
    Look(brow_tilt=-0.4, brow_lift=0.04, eye_height=0.06, mouth_open=0.06),  # fear
    Look(eye_height=0.025, mouth_curve=0.09, mouth_open=0.06, mouth_width=0.2),  # happy
    Look(brow_tilt=-0.5, eye_height=0.025, mouth_curve=-0.07),  # sad
    Look(brow_lift=0.07, eye_height=0.065, mouth_open=0.14, mouth_width=0.1),  # surprise
    Look(),  # neutral
)


def faces(height: int, width: int) -> Images:
    """Two faces of each look, always the same: (14, height, width, 1), gray 0–255."""
    rng = np.random.default_rng(_SEED)
    drawn = [_face(look, height, width, rng) for look in LOOKS for _ in range(FACES_PER_LOOK)]
    return np.stack(drawn)[..., np.newaxis]


def _face(look: Look, height: int, width: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    y, x = (np.indices((height, width)) + 0.5) / np.array([height, width]).reshape(2, 1, 1)
    x, y = x + rng.uniform(-0.04, 0.04), y + rng.uniform(-0.04, 0.04)
    gray = 40 + 60 * rng.uniform() + 30 * x
    gray = _painted(
        gray, _ellipse(x, y, (0.5, 0.5), (0.38, 0.48)), 150 + 30 * rng.uniform() + 20 * y
    )
    for side in (-1, 1):
        center = 0.5 + 0.17 * side
        gray = _painted(gray, _ellipse(x, y, (center, 0.42), (0.07, look.eye_height)), 45)
        slope = look.brow_tilt * side * (center - x)
        brow = _ellipse(x, y - slope, (center, 0.31 - look.brow_lift), (0.1, 0.022))
        gray = _painted(gray, brow, 60)
    gray = _painted(gray, _ellipse(x, y, (0.5, 0.58), (0.03, 0.07)), 125)
    bend = look.mouth_curve * (1 - 2 * ((x - 0.5) / look.mouth_width) ** 2)
    mouth = _ellipse(x, y - bend, (0.5, 0.76), (look.mouth_width, 0.015 + look.mouth_open / 2))
    gray = _painted(gray, mouth, 70)
    noisy = gray * rng.uniform(0.7, 1.1) + rng.normal(0, 4, gray.shape)
    return noisy.round().clip(0, 255).astype(np.uint8)


def _ellipse(x: Plane, y: Plane, center: Pair, half: Pair) -> Plane:
    """How much of each pixel an ellipse of these half axes covers, 0 to 1; its edge is soft."""
    radius = np.hypot((x - center[0]) / half[0], (y - center[1]) / half[1])
    cover: Plane = ((1 - radius) * _EDGE * min(1.0, 4 * half[1]) + 0.5).clip(0, 1)
    return cover


def _painted(gray: Plane, cover: Plane, value: Plane | float) -> Plane:
    return gray * (1 - cover) + value * cover
