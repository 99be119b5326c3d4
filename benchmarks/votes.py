"""What FER+'s votes in the targets cost FER2013's own labels: the last layer alone, fitted anew.

    python -m benchmarks.votes        (writes benchmarks/votes.md)

The shipped model's features of every training face stay as they are; a softmax regression on them
is fitted to targets with different shares of votes, and asked about PublicTest. `MIEN_DATA` names
the folder that holds `fer2013/` (default `../shared/data`).
"""

from __future__ import annotations

import os
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from train.dataset import LABELS, read_dataset
from train.ferplus import read_votes_beside
from train.networks import build
from train.recipe import SGD_RECIPE
from train.selection import select
from train.start import start_from
from train.targets import make_targets

REPO = Path(__file__).parents[1]
MODEL = REPO / "models" / "expression.tflite"
SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
STEPS, RATE, MOMENTUM, PENALTY = 400, 0.3, 0.9, 0.01
BATCH = 256


def features(network: keras.Model, x: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the network's last layer works on (n, filters)."""
    last = [layer for layer in network.layers if layer.weights][-1]
    inner = keras.Model(network.input, last.input)
    parts = [inner.predict_on_batch(x[i : i + BATCH]) for i in range(0, len(x), BATCH)]
    return np.concatenate(parts).reshape(len(x), -1)


def softmax_regression(x: NDArray[np.float64], targets: NDArray[np.float32]) -> NDArray[np.float64]:
    """Weights (features, 7) of least cross-entropy and PENALTY, by gradient descent from zero."""
    weights = np.zeros((x.shape[1], targets.shape[1]))
    velocity = np.zeros_like(weights)
    for _ in range(STEPS):
        odds = np.exp(x @ weights)
        slope = x.T @ (odds / odds.sum(axis=1, keepdims=True) - targets) / len(x)
        velocity = MOMENTUM * velocity + slope + PENALTY * weights
        weights -= RATE * velocity
    return weights


def row(share: float, right: NDArray[np.bool_], labels: NDArray[np.int64]) -> str:
    """A line of the table: accuracy, and each class's share of right answers."""
    recalls = " | ".join(f"{right[labels == label].mean():.0%}" for label in range(len(LABELS)))
    return f"| {share:g} | {right.mean():.2%} | {recalls} |"


def main() -> None:
    """Fit and ask for each share, and write the table."""
    data = Path(os.environ.get("MIEN_DATA", REPO.parent / "shared" / "data")) / "fer2013"
    splits, votes = read_dataset(data), read_votes_beside(data)
    chosen = select(splits, votes, SGD_RECIPE.seed)
    network = build(SGD_RECIPE)
    start_from(network, MODEL, chosen.training.x)
    own, asked = (features(network, x) for x in (chosen.training.x, chosen.validation.x))
    mean, spread = own.mean(axis=0), own.std(axis=0) + 1e-3
    own, asked = (np.c_[(x - mean) / spread, np.ones(len(x))] for x in (own, asked))

    lines = [
        "The last layer fitted anew on the features of `models/expression.tflite`, to targets that",
        f"hold FER+'s votes to a share; accuracy and recall on {len(asked):,} faces of PublicTest,",
        "FER2013's labels. Made by `python -m benchmarks.votes`.",
        "",
        f"| share of votes | accuracy | {' | '.join(LABELS)} |",
        "|---" * (2 + len(LABELS)) + "|",
    ]
    for share in SHARES:
        targets = make_targets(
            splits["Training"].y,
            votes["Training"].votes,
            blend=share,
            smoothing=SGD_RECIPE.label_smoothing,
        )[chosen.kept]
        answers = (asked @ softmax_regression(own, targets)).argmax(axis=1)
        lines.append(row(share, answers == chosen.validation.y, chosen.validation.y))
        print(lines[-1])
    (REPO / "benchmarks" / "votes.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
