"""Accuracy, precision, recall and the confusion matrix of predictions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Faces = NDArray[np.uint8]  # (n, 48, 48, 1)
ClassIds = NDArray[np.int64]  # (n,), positions in the list of labels
Probabilities = NDArray[np.float32]  # (n, classes), each row sums to 1
Classify = Callable[[Faces], Probabilities]

COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
LOWEST_SCORES = (0.0, 0.4, 0.5, 0.6, 0.7, 0.8)


def score(true: ClassIds, predicted: ClassIds, labels: Sequence[str]) -> dict[str, Any]:
    """Return accuracy with a 95 % Wilson interval, macro-F1, recall and figures by class, for JSON.

    `confusion` counts (true, predicted) in the order of `labels`. The means are over the classes
    that occur in `true`.
    """
    matrix = confusion(true, predicted, len(labels))
    hits, support = np.diag(matrix), matrix.sum(axis=1)
    precision = hits / np.maximum(matrix.sum(axis=0), 1)
    recall = hits / np.maximum(support, 1)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    present = support > 0
    columns = zip(labels, support, precision, recall, f1, strict=True)
    return {
        "faces": len(true),
        "accuracy": float(hits.sum() / len(true)),
        "accuracy_95": list(wilson_interval(int(hits.sum()), len(true))),
        "macro_f1": float(f1[present].mean()),
        "mean_recall": float(recall[present].mean()),
        "classes": {
            name: {"faces": int(n), "precision": float(p), "recall": float(r), "f1": float(f)}
            for name, n, p, r, f in columns
        },
        "confusion": matrix.tolist(),
    }


def confusion(true: ClassIds, predicted: ClassIds, classes: int) -> NDArray[np.int64]:
    """Return the counts (classes, classes) of each true and predicted class."""
    matrix = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(matrix, (true, predicted), 1)
    return matrix


def accuracy_by_coverage(probabilities: Probabilities, true: ClassIds) -> list[dict[str, float]]:
    """Return the accuracy if only the share `coverage` of faces with the highest scores is named.

    `score` is the lowest score among them. Source: El-Yaniv and Wiener, 2010, "On the Foundations
    of Noise-free Selective Classification".
    """
    top = probabilities.max(axis=1)
    order = np.argsort(-top, kind="stable")
    right = (probabilities.argmax(axis=1) == true)[order]
    rows = []
    for coverage in COVERAGES:
        named = max(1, round(coverage * len(true)))
        rows.append(
            {
                "coverage": coverage,
                "score": float(top[order[named - 1]]),
                "accuracy": float(right[:named].mean()),
            }
        )
    return rows


def answers_by_score(
    probabilities: Probabilities, true: ClassIds, labels: Sequence[str]
) -> dict[str, list[dict[str, float]]]:
    """Return how many faces are named as each class, and how many rightly, by lowest score."""
    predicted, top = probabilities.argmax(axis=1), probabilities.max(axis=1)
    return {
        label: [
            {
                "score": lowest,
                "named": int(named.sum()),
                "right": int((named & (true == number)).sum()),
            }
            for lowest in LOWEST_SCORES
            for named in [(predicted == number) & (top >= lowest)]
        ]
        for number, label in enumerate(labels)
    }


def wilson_interval(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Return Wilson's score interval of a rate (1927, doi:10.1080/01621459.1927.10502953)."""
    p = hits / n
    center = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return center - half, center + half
