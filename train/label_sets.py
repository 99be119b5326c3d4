"""The sets of labels that a network is evaluated against: the dataset's and FER+'s majority."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.dataset import FER2013, Split
from train.ferplus import MIN_AGREEMENT, Votes, vote_shares
from train.scores import ClassIds, Probabilities

FERPLUS = "FER+"
_MIN_LOG = 1e-7  # smallest probability whose logarithm is taken


@dataclass(frozen=True, slots=True)
class LabelSet:
    """Labels `y` (m,) of the faces `rows` (m,) of a split.

    `shares` (m, 7) are the fractions of the counted votes that each class has; None without votes.
    """

    rows: NDArray[np.int64]
    y: ClassIds
    shares: NDArray[np.float32] | None = None

    def targets(self, classes: int) -> NDArray[np.float32]:
        """Return the distributions (m, classes) that a network should learn from these labels."""
        return np.eye(classes, dtype=np.float32)[self.y] if self.shares is None else self.shares


def label_sets(split: Split, votes: Votes | None) -> dict[str, LabelSet]:
    """Return every set of labels for `split` by name; FER+ only if `votes` belong to its rows.

    FER+ follows the protocol of its paper: single votes are dropped, and faces without a class
    that has more than half of the remaining votes are left out.
    """
    sets = {split.dataset: LabelSet(np.arange(len(split.y)), split.y)}
    if votes is not None and split.dataset == FER2013 and _of_same_rows(votes, split):
        majority = votes.majority()
        rows = np.flatnonzero(majority >= 0)
        sets[FERPLUS] = LabelSet(rows, majority[rows], vote_shares(votes.counted()[rows]))
    return sets


def measure_votes(probabilities: Probabilities, split: Split, ferplus: LabelSet) -> dict[str, Any]:
    """Compare the answers (n, classes) for `split` with the shares of the votes, for JSON.

    `for_…` are mean shares of the voters who chose that label; cross-entropy is in nats.
    """
    answers, labels = probabilities[ferplus.rows], split.y[ferplus.rows]
    shares = ferplus.targets(answers.shape[1])
    return {
        "faces": len(ferplus.rows),
        "without_majority": len(split.y) - len(ferplus.rows),
        "fer2013_agrees": float((ferplus.y == labels).mean()),
        "for_prediction": _mean_share(shares, answers.argmax(axis=1)),
        "for_fer2013": _mean_share(shares, labels),
        "for_majority": _mean_share(shares, ferplus.y),
        "cross_entropy": _cross_entropy(shares, answers),
        "entropy": _cross_entropy(shares, shares),
    }


def _of_same_rows(votes: Votes, split: Split) -> bool:
    """Return whether there is a row of votes for each face, mostly for the face's label."""
    if len(votes.votes) != len(split.y):
        return False
    return bool((votes.votes.argmax(axis=1) == split.y).mean() >= MIN_AGREEMENT)


def _mean_share(shares: NDArray[np.float32], chosen: ClassIds) -> float:
    return float(shares[np.arange(len(chosen)), chosen].mean())


def _cross_entropy(shares: NDArray[np.float32], probabilities: NDArray[np.float32]) -> float:
    """Return the mean cross-entropy over the faces, in nats."""
    logs = np.log(np.maximum(probabilities.astype(np.float64), _MIN_LOG))
    return float(-(shares * logs).sum(axis=1).mean())
