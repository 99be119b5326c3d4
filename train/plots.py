"""Draws PNGs: confusion, reliability, coverage, robustness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

mpl.use("Agg")

DPI = 110


def plot_confusion(matrix: NDArray[np.int64], labels: Sequence[str], picture: Path) -> None:
    """Draw counts (true, predicted), colored by the share of each true class."""
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
    figure.savefig(picture, dpi=DPI)


def plot_reliability(bins: Sequence[dict[str, Any]], picture: Path) -> None:
    """Draw accuracy by confidence, and how many faces have each confidence."""
    low = [each["low"] for each in bins]
    width = bins[0]["high"] - bins[0]["low"]
    figure = Figure(figsize=(4.6, 4.4), layout="constrained")
    right, faces = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    right.bar(low, [each["accuracy"] for each in bins], width, align="edge", edgecolor="white")
    right.plot((0, 1), (0, 1), color="black", linestyle="--", label="ideal")
    right.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    right.legend()
    faces.bar(low, [each["faces"] for each in bins], width, align="edge", edgecolor="white")
    faces.set(xlabel="score of the chosen class", ylabel="faces")
    figure.savefig(picture, dpi=DPI)


def plot_coverage(curves: Mapping[str, Sequence[dict[str, float]]], picture: Path) -> None:
    """Draw accuracy against the share of the faces that is named, a line for each set of labels."""
    figure = Figure(figsize=(4.6, 3.2), layout="constrained")
    axis = figure.subplots()
    for name, rows in curves.items():
        coverage = [100 * each["coverage"] for each in rows]
        axis.plot(coverage, [each["accuracy"] for each in rows], marker=".", label=name)
    axis.set(xlabel="faces named (%)", ylabel="accuracy")
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(picture, dpi=DPI)


def plot_robustness(robustness: dict[str, Any], name: str, clean: float, picture: Path) -> None:
    """Draw accuracy under each corruption against the set of labels `name`, a bar a level.

    `clean` is the accuracy without corruption.
    """
    corruptions = robustness["corruptions"]
    figure = Figure(figsize=(9, 4), layout="constrained")
    axis = figure.subplots()
    for level, title in enumerate(("mild", "medium", "severe")):
        heights = [found["accuracy"][name][level] for found in corruptions.values()]
        places = np.arange(len(heights)) + 0.27 * (level - 1)
        color = mpl.colormaps["Blues"](0.4 + 0.25 * level)
        axis.bar(places, heights, 0.25, label=title, color=color)
    axis.axhline(clean, color="black", linestyle="--", label="without corruption")
    axis.set_xticks(range(len(corruptions)), corruptions, rotation=20, ha="right")
    axis.set(ylabel=f"accuracy ({name})", ylim=(0, 1))
    axis.legend(ncols=4, loc="upper center")
    figure.savefig(picture, dpi=DPI)
