"""Studies for the report: the effect of the number of calibration samples, and errors by layer."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np

from convert import candidate, quantize, scores, tflite, variants
from convert.export_folder import Images
from convert.ranges import Probe
from convert.trials import Trial

SIZES = (50, 100, 200, 500, 1000, 2000)
MAX_TEST_IMAGES = 1000  # enough to compare sizes with each other; the gate uses all images

_EXACT_DB = 99.0  # shown for a layer without any error


@dataclass(frozen=True, slots=True)
class CalibrationPoint:
    """The scores of an int8 model whose ranges come from `samples` images."""

    samples: int
    accuracy: float
    agreement: float
    mean_kl: float


@dataclass(frozen=True, slots=True)
class LayerError:
    """The signal-to-quantization-noise ratio of a layer; 20 dB is an error of a tenth."""

    name: str
    sqnr_db: float


def calibration_study(
    model: keras.Model, pool: Images, trial: Trial
) -> tuple[CalibrationPoint, ...]:
    """Calibrate with each number of images in `SIZES` that the pool has, and compare with Keras."""
    sizes = sorted({min(size, len(pool)) for size in SIZES})
    step = -(-len(trial.images) // MAX_TEST_IMAGES)
    part = Trial(trial.name, trial.images[::step], trial.truth[::step], trial.keras[::step])
    return tuple(_point(model, pool, part, size) for size in sizes)


def _point(model: keras.Model, pool: Images, trial: Trial, size: int) -> CalibrationPoint:
    content = quantize.to_tflite(model, quantize.choose_samples(pool, size), variants.INT8)
    answers = candidate.probabilities(content, trial.images)
    return CalibrationPoint(
        samples=size,
        accuracy=float(np.mean(answers.argmax(axis=1) == trial.truth)),
        agreement=scores.agreement(trial.keras, answers),
        mean_kl=scores.mean_kl(trial.keras, answers),
    )


def layer_errors(reference: bytes, quantized: bytes, images: Images) -> tuple[LayerError, ...]:
    """Return the error of every tensor that both models compute, in the order of the graph.

    The converter gives the same tensor the same name in both. Errors accumulate along the network,
    as they do on a device; `images` is (n, height, width, 1).
    """
    both = set(tflite.read(reference).computed)
    names = [name for name in tflite.read(quantized).computed if name in both]
    exact, rounded = Probe(reference), Probe(quantized)
    signal, noise = np.zeros(len(names)), np.zeros(len(names))
    for image in images:
        exact.run(image)
        rounded.run(image)
        for i, name in enumerate(names):
            expected = exact.values(name)
            signal[i] += np.square(expected).sum()
            noise[i] += np.square(expected - rounded.values(name)).sum()
    return tuple(map(_layer_error, names, signal, noise))


def _layer_error(name: str, signal: float, noise: float) -> LayerError:
    first = name.partition(";")[0]  # the operations folded into it follow
    exact = noise <= signal * 10 ** (-_EXACT_DB / 10)
    return LayerError(first, _EXACT_DB if exact else float(10 * np.log10(signal / noise)))
