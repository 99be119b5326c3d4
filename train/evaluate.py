"""Scores a network on a split: accuracy with its interval, F1, confusion; writes the report."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from train.dataset import LABELS, Split
from train.plots import plot_confusion


def evaluate(network: keras.Model, split: Split) -> dict[str, Any]:
    """Accuracy (with a 95 % Wilson interval), macro-F1 and per-class figures on `split`.

    `confusion` counts (true, predicted) in the order of LABELS.
    """
    predicted = network.predict(split.x, batch_size=256, verbose=0).argmax(axis=1)
    matrix = confusion(split.y, predicted)
    hits = np.diag(matrix)
    precision = hits / np.maximum(matrix.sum(axis=0), 1)
    recall = hits / np.maximum(matrix.sum(axis=1), 1)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    low, high = wilson_interval(int(hits.sum()), len(split.y))
    return {
        "split": split.name,
        "labels": "FER2013",
        "faces": len(split.y),
        "accuracy": float(hits.sum() / len(split.y)),
        "accuracy_95": [low, high],
        "macro_f1": float(f1.mean()),
        "classes": {
            name: {"precision": float(p), "recall": float(r), "f1": float(f)}
            for name, p, r, f in zip(LABELS, precision, recall, f1, strict=True)
        },
        "confusion": matrix.tolist(),
    }


def confusion(true: NDArray[np.int64], predicted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Counts (true, predicted), (7, 7)."""
    matrix = np.zeros((len(LABELS), len(LABELS)), dtype=np.int64)
    np.add.at(matrix, (true, predicted), 1)
    return matrix


def wilson_interval(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval of a proportion (1927, doi:10.1080/01621459.1927.10502953)."""
    p = hits / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return centre - half, centre + half


def write_report(metrics: dict[str, Any], folder: Path) -> None:
    """`metrics.json`, `report.md` and `confusion.png` under `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    plot_confusion(np.array(metrics["confusion"]), LABELS, folder / "confusion.png")
    (folder / "report.md").write_text(_markdown(metrics))


def _markdown(metrics: dict[str, Any]) -> str:
    low, high = metrics["accuracy_95"]
    rows = "\n".join(
        f"| {name} | {c['precision']:.3f} | {c['recall']:.3f} | {c['f1']:.3f} |"
        for name, c in metrics["classes"].items()
    )
    return f"""# Keras network on {metrics["split"]}

Accuracy {metrics["accuracy"]:.2%} (95 % interval {low:.2%} to {high:.2%}), macro-F1
{metrics["macro_f1"]:.3f}, on {metrics["faces"]} faces, against the {metrics["labels"]} labels.

| class | precision | recall | F1 |
|---|---|---|---|
{rows}

![curves](curves.png)
![confusion](confusion.png)
"""
