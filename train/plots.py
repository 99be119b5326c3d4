"""Figures in, PNGs out: curves of the log, confusion, reliability, robustness."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

mpl.use("Agg")


def plot_curves(log: Path, picture: Path | IO[bytes]) -> None:
    """Loss and accuracy, training and validation, over epochs; `log` is Keras' CSV log."""
    with log.open(newline="") as text:
        rows = list(csv.DictReader(text))
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axis, metric in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for name, label in ((metric, "training"), (f"val_{metric}", "validation")):
            epochs, values = [int(r["epoch"]) + 1 for r in rows], [float(r[name]) for r in rows]
            axis.plot(epochs, values, label=label)
        axis.set(xlabel="epoch", title=metric)
        axis.grid(alpha=0.3)
        axis.legend()
    figure.savefig(picture, dpi=110)


def plot_confusion(matrix: NDArray[np.int64], labels: Sequence[str], picture: Path) -> None:
    """Counts (true, predicted), colored by each true class's share."""
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(6, 5.4), layout="constrained")
    axis = figure.subplots()
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(labels))
    axis.set(xticks=ticks, yticks=ticks, xlabel="predicted", ylabel="true")
    axis.set_xticklabels(labels, rotation=45, ha="right")
    axis.set_yticklabels(labels)
    for i, j in np.ndindex(*matrix.shape):
        color = "white" if share[i, j] > 0.5 else "black"
        text = f"{share[i, j]:.0%}\n{matrix[i, j]}"
        axis.text(j, i, text, ha="center", va="center", color=color, size=8)
    figure.savefig(picture, dpi=110)


def plot_reliability(bins: Sequence[dict[str, Any]], picture: Path) -> None:
    """How often the network is right at each confidence, and how many faces have it."""
    low = [each["low"] for each in bins]
    width = bins[0]["high"] - bins[0]["low"]
    figure = Figure(figsize=(6, 5.4), layout="constrained")
    right, faces = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    right.bar(low, [each["accuracy"] for each in bins], width, align="edge", edgecolor="white")
    right.plot((0, 1), (0, 1), color="black", linestyle="--", label="as claimed")
    right.set(ylabel="share of right answers", xlim=(0, 1), ylim=(0, 1))
    right.legend()
    faces.bar(low, [each["faces"] for each in bins], width, align="edge", edgecolor="white")
    faces.set(xlabel="score of the chosen class", ylabel="faces")
    figure.savefig(picture, dpi=110)


def plot_robustness(robustness: dict[str, Any], clean: float, picture: Path) -> None:
    """Accuracy under each corruption, a bar a level, beside that on the `clean` faces."""
    corruptions = robustness["corruptions"]
    figure = Figure(figsize=(9, 4), layout="constrained")
    axis = figure.subplots()
    for level, name in enumerate(("mild", "middling", "severe")):
        heights = [found["accuracy"][level] for found in corruptions.values()]
        places = np.arange(len(heights)) + 0.27 * (level - 1)
        axis.bar(
            places, heights, 0.25, label=name, color=mpl.colormaps["Blues"](0.4 + 0.25 * level)
        )
    axis.axhline(clean, color="black", linestyle="--", label="as they are")
    axis.axhline(1 / 7, color="gray", linestyle=":", label="guessing")
    axis.set_xticks(range(len(corruptions)), corruptions, rotation=20, ha="right")
    axis.set(ylabel="accuracy", ylim=(0, 1))
    axis.legend(ncols=5, loc="upper center")
    figure.savefig(picture, dpi=110)
