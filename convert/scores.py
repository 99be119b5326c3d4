"""Computes accuracy, recall, agreement and divergence of answers; all rates are 0 to 1."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.export_folder import ClassIds

Probabilities = NDArray[np.float32]  # (n, classes), each row sums to 1

_OUTPUT_STEP = 1 / 256  # of a uint8 softmax


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of one model.

    `recall` has a rate for each class, None for one without images; `support` is the number of
    images of each class.
    """

    accuracy: float
    accuracy_95: tuple[float, float]
    macro_f1: float
    recall: tuple[float | None, ...]
    support: tuple[int, ...]


def score(answers: Probabilities, truth: ClassIds) -> Scores:
    """Compare the top classes of probabilities (n, classes) with the true classes (n,)."""
    counts = confusion(answers.argmax(axis=1), truth, answers.shape[1])
    hits, actual = counts.diagonal(), counts.sum(axis=1)
    recall = tuple(float(h / n) if n else None for h, n in zip(hits, actual, strict=True))
    tested = actual > 0
    f1 = 2 * hits[tested] / (actual + counts.sum(axis=0))[tested]
    return Scores(
        accuracy=float(hits.sum() / len(truth)),
        accuracy_95=wilson(int(hits.sum()), len(truth)),
        macro_f1=float(f1.mean()),
        recall=recall,
        support=tuple(int(n) for n in actual),
    )


def agreement(first: Probabilities, second: Probabilities) -> float:
    """Return the share of the samples on which two models have the same top class."""
    return float((first.argmax(axis=1) == second.argmax(axis=1)).mean())


def mean_kl(reference: Probabilities, candidate: Probabilities) -> float:
    """Return the mean of `divergences`, in nats."""
    return float(divergences(reference, candidate).mean())


def divergences(reference: Probabilities, candidate: Probabilities) -> NDArray[np.float64]:
    """Return the Kullback–Leibler divergence (n,) of each answer from the reference's, in nats.

    Both are set to at least half a step of a uint8 output and scaled to sum to 1. Probabilities too
    small for eight bits then count neither as infinite nor as an error.
    """
    p, q = _floored(reference), _floored(candidate)
    return np.asarray((p * np.log(p / q)).sum(axis=1))


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of `hits / n` (Wilson 1927, doi:10.1080/01621459.1927.10502953)."""
    z = 1.959964
    rate = hits / n
    center = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return max(0.0, center - half), min(1.0, center + half)


def confusion(predicted: NDArray[np.int64], truth: ClassIds, classes: int) -> NDArray[np.int64]:
    """Count the images by true class (rows) and predicted class (columns)."""
    counts = np.bincount(truth * classes + predicted, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.int64)


def _floored(answers: Probabilities) -> NDArray[np.float64]:
    floored = np.maximum(answers.astype(np.float64), _OUTPUT_STEP / 2)
    shares: NDArray[np.float64] = floored / floored.sum(axis=1, keepdims=True)
    return shares
