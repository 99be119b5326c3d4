"""A network and a pool of calibration images in, how much the number of samples matters out."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np

from convert import calibration, candidate, quantize, scores, variants
from convert.export_folder import Images
from convert.trials import Trial

SIZES = (50, 100, 200, 500, 1000, 2000)
MAX_TEST_IMAGES = 1000  # the study compares sizes with each other; the gate uses all images


@dataclass(frozen=True, slots=True)
class Point:
    """How an int8 model with ranges from `samples` images does on the study's test images."""

    samples: int
    accuracy: float
    agreement: float
    mean_kl: float


def study(model: keras.Model, pool: Images, trial: Trial) -> tuple[Point, ...]:
    """Calibrate with each of `SIZES`, or all of a smaller pool, and compare with Keras."""
    sizes = sorted({min(size, len(pool)) for size in SIZES})
    step = -(-len(trial.images) // MAX_TEST_IMAGES)
    part = Trial(trial.name, trial.images[::step], trial.truth[::step], trial.keras[::step])
    return tuple(_point(model, pool, part, size) for size in sizes)


def _point(model: keras.Model, pool: Images, trial: Trial, size: int) -> Point:
    content = quantize.to_tflite(model, calibration.choose(pool, size), variants.INT8)
    answers = candidate.probabilities(content, trial.images)
    return Point(
        samples=size,
        accuracy=float(np.mean(answers.argmax(axis=1) == trial.truth)),
        agreement=scores.agreement(trial.keras, answers),
        mean_kl=scores.mean_kl(trial.keras, answers),
    )
