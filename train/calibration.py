"""How far a network's probabilities can be believed, and the temperature that mends them.

Guo et al., 2017, "On Calibration of Modern Neural Networks", https://arxiv.org/abs/1706.04599.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from train.errors import TrainError
from train.trained import Probabilities

BINS = 15
_LEAST = 1e-7  # of a probability whose logarithm is taken
_COLDEST, _HOTTEST = 0.05, 20.0

Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Bin:
    """The faces whose best score lies between `low` and `high`: how many, what they claim and get.

    `confidence` and `accuracy` are means, 0 where there is no face.
    """

    low: float
    high: float
    faces: int
    confidence: float
    accuracy: float


def fit_temperature(probabilities: Probabilities, labels: Labels) -> float:
    """The T for which softmax(log p / T) has the least negative log-likelihood of `labels` (n,).

    The likelihood is convex in 1 / T, so that its slope crosses zero once; between 0.05 and 20.
    """
    logits = _logits(probabilities)
    of_truth = logits[np.arange(len(labels)), labels]

    def slope(inverse: float) -> float:
        mean = (_softmax(logits * inverse) * logits).sum(axis=1)
        return float((mean - of_truth).mean())

    low, high = 1 / _HOTTEST, 1 / _COLDEST
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 2 / (low + high)


def at_temperature(probabilities: Probabilities, temperature: float) -> Probabilities:
    """softmax(log p / T): what the network would answer with its logits divided by T."""
    return _softmax(_logits(probabilities) / temperature).astype(np.float32)


def apply_temperature(network: keras.Model, temperature: float) -> None:
    """Divide the logits of `network` by `temperature`, in place, in the weights they come from.

    Those are the last layer's that has any; raises TrainError where its output is not the logits.
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
        raise TrainError(f"{network.name}: its last weights, {layer.name}'s, give no logits.")
    for weight in layer.weights:
        weight.assign(weight / temperature)


def negative_log_likelihood(probabilities: Probabilities, labels: Labels) -> float:
    """Mean over faces, in nats."""
    logits = _logits(probabilities)
    return float(-np.log(_softmax(logits)[np.arange(len(labels)), labels]).mean())


def reliability(probabilities: Probabilities, labels: Labels) -> list[Bin]:
    """The faces by their best score, in 15 bins of equal width."""
    score, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    number = np.minimum((score * BINS).astype(int), BINS - 1)
    bins = []
    for i in range(BINS):
        inside = number == i
        n = int(inside.sum())
        means = [float(values[inside].mean()) if n else 0.0 for values in (score, right)]
        bins.append(Bin(i / BINS, (i + 1) / BINS, n, *means))
    return bins


def expected_error(bins: list[Bin]) -> float:
    """The expected calibration error: |confidence − accuracy|, averaged over faces."""
    faces = sum(each.faces for each in bins)
    return sum(each.faces * abs(each.confidence - each.accuracy) for each in bins) / faces


def measure_calibration(
    probabilities: Probabilities, labels: Labels, temperature: float
) -> dict[str, Any]:
    """ECE and negative log-likelihood of the answers, and of the same at other temperatures.

    `temperature` is the one that is in the network already: `before` is without it, `after` with
    it, and `best` with what further temperature suits these very faces most.
    """
    best = fit_temperature(probabilities, labels)
    return {
        "bins": BINS,
        "temperature": temperature,
        "before": _errors(at_temperature(probabilities, 1 / temperature), labels),
        "after": _errors(probabilities, labels),
        "best": {"temperature": best} | _errors(at_temperature(probabilities, best), labels),
        "reliability": [asdict(each) for each in reliability(probabilities, labels)],
    }


def _errors(probabilities: Probabilities, labels: Labels) -> dict[str, float]:
    return {
        "ece": expected_error(reliability(probabilities, labels)),
        "nll": negative_log_likelihood(probabilities, labels),
    }


def _logits(probabilities: Probabilities) -> NDArray[np.float64]:
    return np.log(np.maximum(probabilities.astype(np.float64), _LEAST))


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
