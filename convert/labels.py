"""A label list and what is known of the truth in, a refusal out where the two do not fit.

A converted model agrees with its Keras network whatever the classes are called, so that the
comparison of the two can never find a shuffled list. Three other things can: the data set's own
order, the accuracy that training measured, and whether two names fit better when exchanged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from convert import scores
from convert.errors import GateError
from convert.export_folder import ClassIds
from convert.scores import Probabilities

# The class numbers as the data sets publish them.
DATASET_LABELS: Mapping[str, tuple[str, ...]] = {
    "FER2013": ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"),
}
MAX_ACCURACY_GAP = 0.01  # the same network on the same images, perhaps on another backend
MAX_EXCHANGE_GAIN = 0.1  # of the two classes' images


def check(spec: Mapping[str, Any], keras: Probabilities, truth: ClassIds) -> None:
    """`GateError` if spec's labels do not fit the network's (n, classes) answers to test images."""
    _check_order(spec)
    _check_exchanges(spec["labels"], keras, truth)
    _check_accuracy(spec, scores.score(keras, truth).accuracy, len(truth))


def _check_order(spec: Mapping[str, Any]) -> None:
    dataset = spec.get("dataset")
    name = dataset.get("name") if isinstance(dataset, dict) else None
    known = DATASET_LABELS.get(str(name))
    if known is None or tuple(spec["labels"]) == known:
        return
    wrong = next((i for i, label in enumerate(known) if label != spec["labels"][i]), 0)
    raise GateError(
        f"the labels don't fit: class {wrong} of {name} is {known[wrong]!r}, "
        f"spec.json calls it {spec['labels'][wrong]!r}"
    )


def _check_exchanges(labels: Sequence[str], keras: Probabilities, truth: ClassIds) -> None:
    """Any shuffle, however many classes it moves, holds two that fit better exchanged."""
    counts = scores.confusion(keras.argmax(axis=1), truth, len(labels))
    for a, b in combinations(range(len(labels)), 2):
        right, exchanged = counts[a, a] + counts[b, b], counts[a, b] + counts[b, a]
        images = counts[[a, b]].sum()
        if exchanged - right > MAX_EXCHANGE_GAIN * images:
            raise GateError(
                f"the labels don't fit: of the {images} test images called {labels[a]!r} or "
                f"{labels[b]!r} the Keras network is right on {right}, "
                f"and on {exchanged} with the two exchanged"
            )


def _check_accuracy(spec: Mapping[str, Any], accuracy: float, samples: int) -> None:
    metrics = spec.get("metrics")
    if not isinstance(metrics, dict) or metrics.get("faces") != samples:
        return  # training measured on something else
    claimed = metrics.get("accuracy")
    if not isinstance(claimed, float) or abs(claimed - accuracy) <= MAX_ACCURACY_GAP:
        return
    raise GateError(
        f"labels, weights and test images don't fit: the Keras network is right on "
        f"{100 * accuracy:.2f} % of test.npz, training measured {100 * claimed:.2f} %"
    )
