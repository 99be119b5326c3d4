"""Labels and predictions in; accuracy with its interval, F1 and the confusion matrix out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.dataset import LABELS

Labels = NDArray[np.int64]


def score(true: Labels, predicted: Labels) -> dict[str, Any]:
    """Accuracy (with a 95 % Wilson interval), macro-F1 and per-class figures, for JSON.

    `confusion` counts (true, predicted) in the order of LABELS.
    """
    matrix = confusion(true, predicted)
    hits = np.diag(matrix)
    precision = hits / np.maximum(matrix.sum(axis=0), 1)
    recall = hits / np.maximum(matrix.sum(axis=1), 1)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    columns = zip(LABELS, matrix.sum(axis=1), precision, recall, f1, strict=True)
    return {
        "faces": len(true),
        "accuracy": float(hits.sum() / len(true)),
        "accuracy_95": list(wilson_interval(int(hits.sum()), len(true))),
        "macro_f1": float(f1.mean()),
        "classes": {
            name: {"faces": int(n), "precision": float(p), "recall": float(r), "f1": float(f)}
            for name, n, p, r, f in columns
        },
        "confusion": matrix.tolist(),
    }


def confusion(true: Labels, predicted: Labels) -> NDArray[np.int64]:
    """Counts (true, predicted), (7, 7)."""
    matrix = np.zeros((len(LABELS), len(LABELS)), dtype=np.int64)
    np.add.at(matrix, (true, predicted), 1)
    return matrix


def wilson_interval(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval of a proportion (1927, doi:10.1080/01621459.1927.10502953)."""
    p = hits / n
    center = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return center - half, center + half
