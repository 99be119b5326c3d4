"""Measures how well scores match accuracy, and fits the temperature that corrects them.

Guo et al., 2017, "On Calibration of Modern Neural Networks", https://arxiv.org/abs/1706.04599.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from train.errors import TrainError
from train.scores import ClassIds, Probabilities

BINS = 15
_MIN_LOG = 1e-7  # smallest probability whose logarithm is taken
_COLDEST, _HOTTEST = 0.05, 20.0
_BISECTIONS = 50

Distributions = NDArray[np.float32]  # (n, classes), the desired answers


@dataclass(frozen=True, slots=True)
class Bin:
    """The faces whose highest score is between `low` and `high`.

    `confidence` is their mean score, `accuracy` the share that is right; both are 0 without faces.
    """

    low: float
    high: float
    faces: int
    confidence: float
    accuracy: float


def fit_temperature(probabilities: Probabilities, targets: Distributions) -> float:
    """Return the T for which softmax(log p / T) has the least cross-entropy to `targets`.

    `targets` (n, classes) has a row of label or vote shares for each face. The cross-entropy is
    convex in 1 / T, so its slope crosses zero once; T is limited to 0.05 to 20.
    """
    logits = _logits(probabilities)
    wanted = (targets * logits).sum(axis=1)

    def slope(inverse: float) -> float:
        mean = (_softmax(logits * inverse) * logits).sum(axis=1)
        return float((mean - wanted).mean())

    low, high = 1 / _HOTTEST, 1 / _COLDEST
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 2 / (low + high)


def at_temperature(probabilities: Probabilities, temperature: float) -> Probabilities:
    """Return softmax(log p / T), the network's answers with its logits divided by T."""
    return _softmax(_logits(probabilities) / temperature).astype(np.float32)


def apply_temperature(network: keras.Model, temperature: float) -> None:
    """Divide the logits of `network` by `temperature`, in place, by scaling the last weights.

    Raises TrainError if the last layer with weights does not give the logits.
    """
    after = []
    for layer in reversed(network.layers):
        if layer.weights:
            break
        after.append(layer)
    logits_at_end = getattr(layer, "activation", None) in (
        (keras.activations.softmax,) if not after else (keras.activations.linear,)
    )
    reshaping = (keras.layers.Reshape, keras.layers.Flatten, keras.layers.Softmax)
    if not (logits_at_end and all(isinstance(each, reshaping) for each in after)):
        raise TrainError(
            f"{network.name}: its last layer with weights, {layer.name}, does not give logits."
        )
    for weight in layer.weights:
        weight.assign(weight / temperature)


def reliability(probabilities: Probabilities, right: NDArray[np.float64]) -> list[Bin]:
    """Return the faces by their highest score, in 15 bins of equal width.

    `right` (n,) is 1 for a right answer and 0 for a wrong one, or the share of voters for it.
    """
    score = probabilities.max(axis=1)
    number = np.minimum((score * BINS).astype(int), BINS - 1)
    bins = []
    for i in range(BINS):
        inside = number == i
        n = int(inside.sum())
        means = [float(values[inside].mean()) if n else 0.0 for values in (score, right)]
        bins.append(Bin(i / BINS, (i + 1) / BINS, n, *means))
    return bins


def expected_error(bins: list[Bin]) -> float:
    """Return the expected calibration error (ECE): |confidence − accuracy|, averaged over faces."""
    faces = sum(each.faces for each in bins)
    return sum(each.faces * abs(each.confidence - each.accuracy) for each in bins) / faces


def measure_calibration(
    probabilities: Probabilities, labels: ClassIds, shares: Distributions | None = None
) -> dict[str, Any]:
    """Return ECE and negative log-likelihood (nats) of the answers to `labels` (n,), for JSON.

    With the `shares` (n, classes) of votes, `ece_votes` compares scores with the mean share of
    voters who chose the answer. `best_temperature` is the best one for these faces.
    """
    rows = np.arange(len(labels))
    answers = probabilities.argmax(axis=1)
    bins = reliability(probabilities, (answers == labels).astype(np.float64))
    targets = np.eye(probabilities.shape[1], dtype=np.float32)[labels] if shares is None else shares
    likelihood = np.maximum(probabilities[rows, labels].astype(np.float64), _MIN_LOG)
    found: dict[str, Any] = {
        "bins": BINS,
        "ece": expected_error(bins),
        "nll": float(-np.log(likelihood).mean()),
        "best_temperature": fit_temperature(probabilities, targets),
        "reliability": [asdict(each) for each in bins],
    }
    if shares is not None:
        by_votes = reliability(probabilities, shares[rows, answers].astype(np.float64))
        found["ece_votes"] = expected_error(by_votes)
    return found


def _logits(probabilities: Probabilities) -> NDArray[np.float64]:
    return np.log(np.maximum(probabilities.astype(np.float64), _MIN_LOG))


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
